-- Removes a record whose tries certainly have not been accepted.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds.
--
-- Returns 1, or 0 if the record is not the owner's any more or an earlier try
-- may have been accepted: then the record becomes ambiguous.

local VERSION = '1'

local owner = ARGV[1]

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local record = redis.call('HMGET', KEYS[1], 'version', 'state', 'owner',
                          'maybe', 'lease')
local maybe, lease = record[4], record[5]

if record[1] ~= VERSION or record[2] ~= 'in_flight' or record[3] ~= owner then
    return 0
end

if maybe ~= '0' or tonumber(lease) <= now then
    redis.call('HSET', KEYS[1], 'state', 'ambiguous', 'maybe', '1')
    return 0
end

redis.call('DEL', KEYS[1])

return 1
