-- ARGV: token, lease_ms, ttl_ms.
local refused = refusal(ARGV[1])
if refused then return refused end
redis.call('HSET', KEYS[1], 'lease', whole(math.floor(now_us() / 1000) + ARGV[2]))
live_on(tonumber(ARGV[3]))
return {'OK'}
