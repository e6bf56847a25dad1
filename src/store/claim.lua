-- Grants a record to an owner, or tells the record's state.
--
-- KEYS: the record; and, if a send without a key may belong to the preceding
-- window, the record of that window.
-- ARGV: owner; fingerprint; lease time and ttl (not shorter than the lease), in
-- milliseconds; '1' if a try may have been accepted, else '0'; optionally an
-- owner that makes no more tries (or ''); and, for a send without a key, its
-- window in milliseconds and the number of that window.
--
-- Returns the state; the time in Unix milliseconds; 1 if the record of the
-- preceding window is used, else 0; and for 'done' the answer and its status.
-- A record that is granted is 'claimed', or 'recovered' if an earlier try may
-- have been accepted.

local owner, fingerprint = ARGV[1], ARGV[2]
local lease_time, ttl = ARGV[3], ARGV[4]
local maybe, former_owner = ARGV[5], ARGV[6]
local window, window_number = tonumber(ARGV[7]), tonumber(ARGV[8])

local now = clock()
local key, previous = KEYS[1], 0
local record, foreign

if window and math.floor(now / window) ~= window_number then
    return {'clock', now, 0}
end

if KEYS[2] then
    record, foreign = read(KEYS[2])

    -- It is not known when a foreign record began.

    if record and (foreign or now - record.begun < window) then
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

        -- The same owner asks again.

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
end

write(key, 'in_flight', fingerprint, record and record.begun or now, owner,
      now + lease_time, maybe, 'PX', ttl)

return {maybe == '0' and 'claimed' or 'recovered', now, previous}
