-- No ARGV. Answers OK, the record and its version, both nil where none was put yet.
local found = redis.call('HMGET', KEYS[1], 'token', 'record', 'version')
if not found[1] then return NO_SESSION end
return {'OK', found[2], found[3]}
