-- Starts the lease of a record anew.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more.

local VERSION = '1'

local owner = ARGV[1]
local ttl, lease_time = tonumber(ARGV[3]), tonumber(ARGV[4])

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local record = redis.call('HMGET', KEYS[1], 'version', 'state', 'owner')

if record[1] ~= VERSION or record[2] ~= 'in_flight' or record[3] ~= owner then
    return 0
end

redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + lease_time))
redis.call('PEXPIRE', KEYS[1], math.max(ttl, lease_time))

return 1
