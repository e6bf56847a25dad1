-- Marks a record as ambiguous: a try may have been accepted.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more.

local VERSION = '1'

local owner = ARGV[1]

local record = redis.call('HMGET', KEYS[1], 'version', 'state', 'owner')

if record[1] ~= VERSION or record[2] ~= 'in_flight' or record[3] ~= owner then
    return 0
end

redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1')

return 1
