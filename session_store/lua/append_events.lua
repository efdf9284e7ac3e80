-- ARGV: token, ttl_ms, cap_events, cap_bytes, first_seq, then the events' data. Answers OK, or HOLE and the last number.
local refused = refusal(ARGV[1])
if refused then return refused end
local found = redis.call('HMGET', KEYS[1], 'seq', 'log_bytes')
local last, bytes, first = tonumber(found[1] or nil), tonumber(found[2] or 0), tonumber(ARGV[5])
if last and first > last + 1 then return {'HOLE', last} end
if redis.call('XLEN', KEYS[2]) == 0 then bytes = 0 end

for index = 6, #ARGV do
  local seq = first + index - 6
  if not last or seq > last then
    redis.call('XADD', KEYS[2], whole(seq) .. '-0', 'data', ARGV[index])
    bytes = bytes + #ARGV[index]
    last = seq
  end
end
local count = redis.call('XLEN', KEYS[2])
while count > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) do
  local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
  if not oldest then break end
  redis.call('XDEL', KEYS[2], oldest[1])
  bytes = bytes - #oldest[2][2]
  count = count - 1
end
redis.call('HSET', KEYS[1], 'seq', whole(last), 'log_bytes', whole(bytes))
live_on(tonumber(ARGV[2]))
return {'OK'}
