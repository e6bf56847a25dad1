-- Adds a webhook's event to a stream, and marks it as delivered.  An error ends
-- the script before it has left a mark.
--
-- KEYS: the event's record and the stream.
-- ARGV: owner, fingerprint, the mark's ttl in milliseconds (0: no mark), lease
-- time, the approximate maximum length of the stream (0: any), then the fields
-- of the entry: event, message ID, timestamp, body.
--
-- Returns 1, or 0 if the event had been delivered before.

local VERSION = '1'

local fingerprint, ttl, maxlen = ARGV[2], ARGV[3], ARGV[5]
local event, message_id, timestamp, body = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local mark = ttl ~= '0'

if mark then
    local record = redis.call('HMGET', KEYS[1], 'version', 'state')
    local version, state = record[1], record[2]

    if version == VERSION and state == 'done' then
        return 0
    end

    -- The record of a version that this script does not know is left alone.

    mark = not version or version == VERSION
end

local entry = {'*', 'event', event, 'message_id', message_id,
               'timestamp', timestamp, 'received', now, 'body', body}

if maxlen ~= '0' then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxlen, unpack(entry))
else
    redis.call('XADD', KEYS[2], unpack(entry))
end

if mark then
    redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe')
    redis.call('HSET', KEYS[1], 'version', VERSION, 'state', 'done',
               'begun', now, 'fingerprint', fingerprint,
               'answer', '', 'status', '200')
    redis.call('PEXPIRE', KEYS[1], ttl)
end

return 1
