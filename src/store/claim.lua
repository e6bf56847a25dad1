-- Asks for a record: grants it, or tells its state.
--
-- KEYS: the record and, if a send without a key may belong to the window
-- before its own, the record of that window.
-- ARGV: owner, fingerprint, ttl and lease time in milliseconds, whether a try
-- may have been accepted ('0', '1'), an owner that has ended (or ''), and for a
-- send without a key its window in milliseconds and the number of that window
-- (else 0, 0).
--
-- Returns the state, the time, whether the record of the window before was
-- taken (0, 1), then: for 'claimed' whether an earlier try may have been
-- accepted ('0', '1'), for 'done' the answer and its status.

local owner, fingerprint = ARGV[1], ARGV[2]
local ttl, lease_time = tonumber(ARGV[3]), tonumber(ARGV[4])
local maybe, former_owner = ARGV[5], ARGV[6]
local window, window_number = tonumber(ARGV[7]), tonumber(ARGV[8])

if window > 0 and math.floor(now / window) ~= window_number then
    return {'clock', now, 0}
end

local key, previous = KEYS[1], 0
local record, foreign

if KEYS[2] then
    record, foreign = read(KEYS[2])

    -- A foreign one may say nothing of when it began.

    if record and (not is_time(record.begun)
                   or now - tonumber(record.begun) < window)
    then
        key, previous = KEYS[2], 1
    end
end

if previous == 0 then
    record, foreign = read(key)
end

if foreign then
    return only_read({'foreign', now, previous})
end

if record then
    if record.fingerprint ~= fingerprint then
        return only_read({'reused', now, previous})
    end

    if record.state == 'done' then
        return only_read({'done', now, previous,
                          record.answer, record.status})
    end

    if record.state == 'in_flight' and record.owner == owner then

        -- Its owner asks again.

        if record.maybe == '1' then
            maybe = '1'
        end

    else
        if record.state == 'in_flight' and record.owner ~= former_owner
            and tonumber(record.lease) > now
        then
            return only_read({'in_flight', now, previous})
        end

        -- A takeover: the former owner's tries may have been accepted.

        maybe = '1'
    end

else
    redis.call('HSET', key, 'begun', milliseconds(now))
end

redis.call('HSET', key, 'version', VERSION, 'state', 'in_flight',
           'fingerprint', fingerprint, 'owner', owner, 'maybe', maybe,
           'lease', milliseconds(now + lease_time))

-- A record in flight lives at least as long as its lease.
redis.call('PEXPIRE', key, math.max(ttl, lease_time))

return {'claimed', now, previous, maybe}
