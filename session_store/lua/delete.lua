-- ARGV: token.
local refused = refusal(ARGV[1])
if refused then return refused end
redis.call('DEL', unpack(KEYS))
return {'OK'}
