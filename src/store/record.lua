-- What each script begins with: the time, and how a record is read.  Whoever
-- can write to Redis can write a record, so each field is checked before it is
-- used.

local VERSION = '1'

-- Chatmaid's answers are no longer than that.
local MAX_ANSWER = 4194304

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function milliseconds(number)
    return string.format('%.0f', number)
end

local function is_time(field)
    return field and #field <= 15 and field:find('^%d+$')
end

local function is_hex(field, length)
    return field and #field == length and not field:find('[^0-9a-f]')
end

local function is_valid(record)
    if record.version ~= VERSION or not is_time(record.begun)
        or not is_hex(record.fingerprint, 64)
    then
        return false
    end

    if record.state == 'done' then
        return record.answer and #record.answer <= MAX_ANSWER
               and record.status and record.status:find('^2%d%d$')
    end

    return (record.state == 'in_flight' or record.state == 'ambiguous')
           and is_hex(record.owner, 32) and is_time(record.lease)
           and (record.maybe == '0' or record.maybe == '1')
end

-- Returns the record, or nil if there is none, and whether it is foreign: of a
-- version that these scripts do not know, or not a record at all.  Such a one
-- is left alone.

local function read(key)
    local names = {'version', 'state', 'fingerprint', 'begun', 'owner',
                   'maybe', 'lease', 'answer', 'status'}

    local fields = redis.call('HMGET', key, unpack(names))
    local record

    for i, name in ipairs(names) do
        if fields[i] then
            record = record or {}
            record[name] = fields[i]
        end
    end

    return record, record and not is_valid(record)
end

-- What a script returns that has only read.  A replica, whose records may be old,
-- refuses the command, which changes nothing; then so does the script.

local function only_read(result)
    local reply = redis.pcall('HDEL', KEYS[1], '')

    if type(reply) == 'table' and reply.err and reply.err:find('READONLY') then
        redis.call('HDEL', KEYS[1], '')
    end

    return result
end
