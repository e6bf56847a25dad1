-- Records Chatmaid's answer.  A former owner may do this too: the answer is the
-- same whoever got it.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds, the answer and
-- its status.
--
-- Returns 1, or 0 if the record is done, of another message, or of a version
-- that this script does not know.

local VERSION = '1'

local fingerprint, ttl = ARGV[2], ARGV[3]
local answer, status = ARGV[5], ARGV[6]

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local record = redis.call('HMGET', KEYS[1], 'version', 'state', 'fingerprint')
local version, state, record_fingerprint = record[1], record[2], record[3]

if version and (version ~= VERSION or state == 'done'
                or record_fingerprint ~= fingerprint)
then
    return 0
end

if not version then
    redis.call('HSET', KEYS[1], 'begun', string.format('%.0f', now))
end

redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe')
redis.call('HSET', KEYS[1], 'version', VERSION, 'state', 'done',
           'fingerprint', fingerprint, 'answer', answer, 'status', status)
redis.call('PEXPIRE', KEYS[1], ttl)

return 1
