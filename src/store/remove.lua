-- Removes a record whose tries certainly have not been accepted.
--
-- KEYS: the record.
-- ARGV: owner.
--
-- Returns 1 if the record is removed.  Returns 0 if it no longer belongs to the
-- owner; or if its lease has run out or an earlier try may have been accepted:
-- then the record becomes ambiguous.

local owner = ARGV[1]

local record, foreign = read(KEYS[1])

if not record or foreign or record.state ~= 'in_flight'
    or record.owner ~= owner
then
    return only_read(0)
end

if record.maybe ~= '0' or tonumber(record.lease) <= clock() then
    write(KEYS[1], 'ambiguous', record.fingerprint, record.begun, owner,
          record.lease, '1', 'KEEPTTL')
    return 0
end

redis.call('DEL', KEYS[1])

return 1
