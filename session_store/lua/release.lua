-- ARGV: token, ttl_ms. The token stays, so that the next one is higher.
local refused = refusal(ARGV[1])
if refused then return refused end
redis.call('HDEL', KEYS[1], 'owner', 'lease')
live_on(tonumber(ARGV[2]))
return {'OK'}
