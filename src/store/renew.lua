-- Starts the lease of a record anew.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more.

local owner = ARGV[1]
local ttl, lease_time = tonumber(ARGV[3]), tonumber(ARGV[4])

local record, foreign = read(KEYS[1])

if not record or foreign or record.state ~= 'in_flight'
    or record.owner ~= owner
then
    return only_read(0)
end

redis.call('HSET', KEYS[1], 'lease', milliseconds(now + lease_time))
redis.call('PEXPIRE', KEYS[1], math.max(ttl, lease_time))

return 1
