-- Starts the lease of a record anew.
--
-- KEYS: the record.
-- ARGV: owner; lease time and ttl (not shorter than the lease), in
-- milliseconds.
--
-- Returns 1, or 0 if the record no longer belongs to the owner.

local owner, lease_time, ttl = ARGV[1], ARGV[2], ARGV[3]

local record, foreign = read(KEYS[1])

if not record or foreign or record.state ~= 'in_flight'
    or record.owner ~= owner
then
    return only_read(0)
end

write(KEYS[1], 'in_flight', record.fingerprint, record.begun, owner,
      clock() + lease_time, record.maybe, 'PX', ttl)

return 1
