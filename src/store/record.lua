-- What each script begins with: how a record is read and written.
--
-- A record is a string of fields with a space between them.  One that is not
-- done is
--
--     2 in_flight FINGERPRINT BEGUN OWNER LEASE MAYBE
--     2 ambiguous FINGERPRINT BEGUN OWNER LEASE MAYBE
--
-- and one that is done
--
--     2 done FINGERPRINT BEGUN STATUS ANSWER
--
-- The first field is the version.  Whoever can write to Redis can write a
-- record, so each field is checked before it is used.  A function that a script
-- does not call costs it some time as well.

-- How a record that is done begins.
local DONE = '2 done '

-- Chatmaid's answers are no longer than that.
local MAX_ANSWER = 4194304

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local function clock()
    local time = redis.call('TIME')

    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Version 1 was a hash.  Returns what such a record is today, or an empty
-- string if it is none.

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

-- Returns the record, or nil if there is none, and whether it is foreign: of a
-- version that these scripts do not know, or not a record at all.  Such a one
-- is left alone.

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

-- Writes a record that is not done.  What comes last are words of SET: for how
-- long it is kept.

local function write(key, state, fingerprint, begun, owner, lease, maybe, ...)
    redis.call('SET', key, '2 ' .. state .. ' ' .. fingerprint .. ' ' .. begun
                           .. ' ' .. owner .. ' ' .. lease .. ' ' .. maybe, ...)
end

-- What a script returns that has only read.  A replica, whose records may be
-- old, refuses the command, which changes nothing; then so does the script.  A
-- master that can't write at the moment may still be read, and a record that is
-- a hash.

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
