-- Marks a record as ambiguous: a try may have been accepted.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more.

local owner = ARGV[1]

local record, foreign = read(KEYS[1])

if not record or foreign or record.state ~= 'in_flight'
    or record.owner ~= owner
then
    return 0
end

redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1')

return 1
