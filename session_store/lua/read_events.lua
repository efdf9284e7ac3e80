-- ARGV: after_seq. Answers OK and the entries behind it, or TRIMMED and the first number that is left.
local found = redis.call('HMGET', KEYS[1], 'token', 'seq')
if not found[1] then return NO_SESSION end
local after, last = tonumber(ARGV[1]), tonumber(found[2] or nil)
if not last or after >= last then return {'OK', {}} end
local entries = redis.call('XRANGE', KEYS[2], whole(after + 1), '+')
local first = entries[1] and tonumber(string.match(entries[1][1], '^%d+')) or last + 1
if first > after + 1 then return {'TRIMMED', first} end
return {'OK', entries}
