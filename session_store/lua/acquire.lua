-- ARGV: owner, lease_ms, ttl_ms, 1 to take over. Answers OK and the token, or HELD and the ms that are left.
local found = redis.call('HMGET', KEYS[1], 'token', 'owner', 'lease')
local now = now_us()
local now_ms = math.floor(now / 1000)
if found[2] and found[2] ~= ARGV[1] and now_ms < tonumber(found[3]) and ARGV[4] ~= '1' then
  return {'HELD', tonumber(found[3]) - now_ms}
end
-- Tokens rise for ever because time does: also after the session expired, and after the server lost its memory.
local token = whole(math.max(now, (tonumber(found[1] or 0)) + 1))
redis.call('HSET', KEYS[1], 'token', token, 'owner', ARGV[1], 'lease', whole(now_ms + ARGV[2]))
if not found[1] then
  for index = 2, #KEYS do redis.call('DEL', KEYS[index]) end  -- what a server that evicts may have left of a namesake
end
live_on(tonumber(ARGV[3]))
return {'OK', token}
