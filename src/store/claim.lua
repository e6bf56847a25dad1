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

local VERSION = '1'

local owner, fingerprint = ARGV[1], ARGV[2]
local ttl, lease_time = tonumber(ARGV[3]), tonumber(ARGV[4])
local maybe, former_owner = ARGV[5], ARGV[6]
local window, window_number = tonumber(ARGV[7]), tonumber(ARGV[8])

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if window > 0 and math.floor(now / window) ~= window_number then
    return {'clock', now, 0}
end

local key, previous = KEYS[1], 0

if KEYS[2] then
    local begun = tonumber(redis.call('HGET', KEYS[2], 'begun'))

    if begun and now - begun < window then
        key, previous = KEYS[2], 1
    end
end

local record = redis.call('HMGET', key, 'version', 'state', 'fingerprint',
                          'owner', 'maybe', 'lease', 'answer', 'status')

local version, state, record_fingerprint = record[1], record[2], record[3]
local record_owner, record_maybe, lease = record[4], record[5], record[6]

if version then
    if version ~= VERSION then
        return {'version', now, previous}
    end

    if record_fingerprint ~= fingerprint then
        return {'reused', now, previous}
    end

    if state == 'done' then
        return {'done', now, previous, record[7], record[8]}
    end

    if state == 'in_flight' and record_owner == owner then

        -- Its owner asks again.

        if record_maybe == '1' then
            maybe = '1'
        end

    else
        if state == 'in_flight' and record_owner ~= former_owner
            and tonumber(lease) > now
        then
            return {'in_flight', now, previous}
        end

        -- A takeover: the former owner's tries may have been accepted.

        maybe = '1'
    end

else
    redis.call('HSET', key, 'begun', string.format('%.0f', now))
end

redis.call('HSET', key, 'version', VERSION, 'state', 'in_flight',
           'fingerprint', fingerprint, 'owner', owner, 'maybe', maybe,
           'lease', string.format('%.0f', now + lease_time))

-- A record in flight lives at least as long as its lease.
redis.call('PEXPIRE', key, math.max(ttl, lease_time))

return {'claimed', now, previous, maybe}
