-- Records Chatmaid's answer.  A former owner may do this too: the answer is the
-- same whoever got it.
--
-- KEYS: the record.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds, the answer and
-- its status.
--
-- Returns 1, or 0 if the record is done, of another message, or foreign.

local fingerprint, ttl = ARGV[2], ARGV[3]
local answer, status = ARGV[5], ARGV[6]

local record, foreign = read(KEYS[1])

if record and (foreign or record.state == 'done'
               or record.fingerprint ~= fingerprint)
then
    return only_read(0)
end

if not record then
    redis.call('HSET', KEYS[1], 'begun', milliseconds(now))
end

redis.call('HDEL', KEYS[1], 'owner', 'lease', 'maybe')
redis.call('HSET', KEYS[1], 'version', VERSION, 'state', 'done',
           'fingerprint', fingerprint, 'answer', answer, 'status', status)
redis.call('PEXPIRE', KEYS[1], ttl)

return 1
