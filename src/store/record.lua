-- The functions that read and write records.  Each script but pace.lua begins
-- with them.
--
-- A record is a string of fields, separated by spaces.  A record that is not
-- done is
--
--     2 in_flight FINGERPRINT BEGUN OWNER LEASE MAYBE
--     2 ambiguous FINGERPRINT BEGUN OWNER LEASE MAYBE
--
-- and a record that is done is
--
--     2 done FINGERPRINT BEGUN STATUS ANSWER
--
-- The first field is the version.  BEGUN and LEASE (its end) are Unix times in
-- milliseconds; MAYBE is 1 if an earlier try may have been accepted, else 0.
--
-- Anybody who can write to Redis can write a record, so each field is checked
-- before it is used.  Even a function that a script does not call costs the
-- script some time.

-- How a record that is done begins.
local DONE = '2 done '

-- The longest answer of Chatmaid, in bytes.
local MAX_ANSWER = 4194304

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local function clock()
    local time = redis.call('TIME')

    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A record of version 1 was a hash.  Returns it as a string of version 2, or
-- returns an empty string if the key is no such record.

local function read_hash(key)
    local fields = redis.pcall('HMGET', key, 'version', 'state', 'fingerprint',
                               'begun', 'owner', 'lease', 'maybe')

    if fields.err then
        return ''               -- of another type
    end

    if fields[2] == 'done' then
        fields = redis.call('HMGET', key, 'version', 'state', 'fingerprint',
                            'begun', 'status', 'answer')
    end

    for i, field in ipairs(fields) do
        if not field or (i < 6 and field:find(' ')) then
            return ''
        end
    end

    return fields[1] == '1' and '2 ' .. table.concat(fields, ' ', 2) or ''
end

-- Returns the record, or nil if there is none; and whether the record is
-- foreign: it has a version that these scripts do not know, or is not a record
-- at all.  A foreign record is never changed.

local function read(key)
    local value = redis.pcall('GET', key)

    if not value then
        return nil
    end

    if value.err then
        value = value.err:find('WRONGTYPE') and read_hash(key)
                or redis.call('GET', key)
    end

    local fingerprint, begun, status, from =
        value:match('^2 done ([%da-f]+) (%d+) (2%d%d) ()')

    if from then
        return {state = 'done', fingerprint = fingerprint, begun = begun,
                status = status, answer = value:sub(from)},
               #fingerprint ~= 64 or #begun > 15 or #value - from >= MAX_ANSWER
    end

    local state, fingerprint, begun, owner, lease, maybe =
        value:match('^2 ([%l_]+) ([%da-f]+) (%d+) ([%da-f]+) (%d+) ([01])$')

    return {state = state, fingerprint = fingerprint, begun = begun,
            owner = owner, lease = lease, maybe = maybe},
           (state ~= 'in_flight' and state ~= 'ambiguous')
           or #fingerprint ~= 64 or #begun > 15 or #owner ~= 32 or #lease > 15
end

-- Writes a record that is not done.  The last arguments are options of SET that
-- say how long the record is kept.

local function write(key, state, fingerprint, begun, owner, lease, maybe, ...)
    redis.call('SET', key, '2 ' .. state .. ' ' .. fingerprint .. ' ' .. begun
                           .. ' ' .. owner .. ' ' .. lease .. ' ' .. maybe, ...)
end

-- Returns the result of a script that has only read.  A replica, whose records
-- may be old, must not be read: it refuses SETRANGE, which changes nothing
-- here, and then the script fails too.  A master that can't write at the moment
-- may still be read, and so may a record that is a hash.

local function only_read(result)
    local reply = redis.pcall('SETRANGE', KEYS[1], '0', '')

    if type(reply) == 'table'
        and not (reply.err:find('WRONGTYPE') or reply.err:find('OOM')
                 or reply.err:find('MISCONF') or reply.err:find('NOREPLICAS'))
    then
        redis.call('SETRANGE', KEYS[1], '0', '')
    end

    return result
end
