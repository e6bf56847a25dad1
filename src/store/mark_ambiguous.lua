-- Marks a record as ambiguous: a try may have been accepted.  If there is no
-- record, because it was claimed while Redis was away or because Redis has lost
-- it, one is created.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, and ttl in milliseconds.
--
-- Returns 1, or 0 if the record no longer belongs to the owner.

local owner, fingerprint, ttl = ARGV[1], ARGV[2], ARGV[3]

local record, foreign = read(KEYS[1])

if record and (foreign or record.state ~= 'in_flight'
               or record.owner ~= owner)
then
    return only_read(0)
end

if record then
    write(KEYS[1], 'ambiguous', record.fingerprint, record.begun, owner,
          record.lease, '1', 'KEEPTTL')

else
    local now = clock()

    write(KEYS[1], 'ambiguous', fingerprint, now, owner, now, '1', 'PX', ttl)
end

return 1
