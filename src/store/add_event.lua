-- Adds a webhook's event to a stream, and marks it as delivered.  The mark is
-- written last, so that an error leaves no mark.
--
-- KEYS: the event's record, and the stream.
-- ARGV: fingerprint, the mark's ttl in milliseconds (0: no mark), the
-- approximate maximum length of the stream (0: any), then the fields of the
-- entry: event, message ID, timestamp, body.
--
-- Returns 1, or 0 if the event has been delivered before.

local fingerprint, ttl, maxlen = ARGV[1], ARGV[2], ARGV[3]
local event, message_id, timestamp, body = ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local received = string.format('%.0f', clock())
local mark = ttl ~= '0'

if mark then
    local record, foreign = read(KEYS[1])

    if record and not foreign and record.state == 'done' then
        return only_read(0)
    end

    mark = not foreign
end

local entry = {'*', 'event', event, 'message_id', message_id,
               'timestamp', timestamp, 'received', received, 'body', body}

if maxlen ~= '0' then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', maxlen, unpack(entry))
else
    redis.call('XADD', KEYS[2], unpack(entry))
end

if mark then
    redis.call('SET', KEYS[1], DONE .. fingerprint .. ' ' .. received
                               .. ' 200 ', 'PX', ttl)
end

return 1
