-- KEYS: the session's hash, the tail; ARGV: channel. Answers OK, first sample, the sample behind the last, the pieces.
local found = redis.call('HMGET', KEYS[1], 'token', 'start:' .. ARGV[1], 'end:' .. ARGV[1])
if not found[1] then return NO_SESSION end
if not found[2] then return {'OK', '0', '0', {}} end
return {'OK', found[2], found[3], redis.call('XRANGE', KEYS[2], whole(tonumber(found[2]) + 1), '+')}
