-- Stands before every script. KEYS are the session's hash, its log, then one tail per channel.
-- A script looks first and writes last, and its first write is one that a full, read-only or broken server refuses:
-- so a refusal changes nothing.

local NO_SESSION = {'NO_SESSION'}

-- tostring would write 1.7e+15.
local function whole(number)
  return string.format('%.0f', number)
end

-- Microseconds since 1970 by the server's clock; below 2^53, so exact.
local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- What forbids a write with this token; nil where nothing does.
local function refusal(token)
  local held = redis.call('HMGET', KEYS[1], 'token', 'owner')
  if not held[1] then return NO_SESSION end
  if not held[2] or held[1] ~= token then return {'STALE'} end
  return nil
end

-- After every write: all that is there of the session expires at one moment, and not before its lease does.
local function live_on(ttl_ms)
  local lease_ms = tonumber(redis.call('HGET', KEYS[1], 'lease') or 0)
  local at_ms = whole(math.max(math.floor(now_us() / 1000) + ttl_ms, lease_ms))
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, at_ms) end
end
