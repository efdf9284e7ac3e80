-- ARGV: token, ttl_ms, expected_version, record; and where there is audio: first_sample, needed_from, cap_samples,
-- cap_pieces, then one channel's PCM after the other. Answers OK and the new version, or CONFLICT and the one found.
local refused = refusal(ARGV[1])
if refused then return refused end
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or 0)
if version ~= tonumber(ARGV[3]) then return {'CONFLICT', version} end
redis.call('HSET', KEYS[1], 'record', ARGV[4], 'version', whole(version + 1))

if ARGV[5] then
  local first, needed_from, cap = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
  for channel = 0, #KEYS - 3 do
    local key, pcm = KEYS[channel + 3], ARGV[channel + 9] or ''
    local start_name, end_name = 'start:' .. channel, 'end:' .. channel
    local found = redis.call('HMGET', KEYS[1], start_name, end_name)
    local tail_start, tail_end = tonumber(found[1] or nil), tonumber(found[2] or nil)
    if #pcm > 0 and (not tail_end or first > tail_end) then
      redis.call('DEL', key)
      tail_start, tail_end = first, first
    end
    if tail_end then
      local block_end = first + #pcm / 2
      if #pcm > 0 and block_end > tail_end then
        redis.call('XADD', key, whole(block_end) .. '-0', 'pcm', string.sub(pcm, (tail_end - first) * 2 + 1))
        tail_end = block_end
      end
      if redis.call('XLEN', key) > tonumber(ARGV[8]) then
        local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1][1]
        tail_start = math.max(tail_start, tonumber(string.match(oldest, '^%d+')))
      end
      tail_start = math.min(math.max(tail_start, needed_from, tail_end - cap), tail_end)
      redis.call('XTRIM', key, 'MINID', whole(tail_start + 1))
      redis.call('HSET', KEYS[1], start_name, whole(tail_start), end_name, whole(tail_end))
    end
  end
end
live_on(tonumber(ARGV[2]))
return {'OK', version + 1}
