-- Records Chatmaid's answer.  A former owner may do this too: the answer is the
-- same, whichever owner got it.
--
-- KEYS: the record.
-- ARGV: fingerprint, ttl in milliseconds, the answer and its status.
--
-- Returns 1, or 0 if the record is done, foreign, or belongs to another
-- message.

local fingerprint, ttl, answer, status = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local record, foreign = read(KEYS[1])

if record and (foreign or record.state == 'done'
               or record.fingerprint ~= fingerprint)
then
    return only_read(0)
end

redis.call('SET', KEYS[1], DONE .. fingerprint .. ' '
                           .. (record and record.begun or clock()) .. ' '
                           .. status .. ' ' .. answer, 'PX', ttl)

return 1
