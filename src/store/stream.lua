-- Tells how far the consumer groups of a stream have come, and changes nothing.
--
-- KEYS: the stream.
--
-- Returns the length of the stream; then for each group its name, the number of
-- entries that have not been delivered to it yet, and the age in milliseconds
-- of the oldest entry that it has not acknowledged (0: there is none).  -1
-- means that a number is not known, because Redis does not tell it or does not
-- permit the command.

local MAX_GROUPS = 64

local key = KEYS[1]

local function ask(...)
    local reply = redis.pcall(...)

    if type(reply) == 'table' and reply.err then
        return nil
    end

    return reply
end

local function age(id)
    return math.max(0, clock() - tonumber(id:match('^%d+')))
end

local function oldest(name, delivered)
    local pending = ask('XPENDING', key, name)

    if not pending then
        return -1
    end

    if pending[1] > 0 then
        return age(pending[2])
    end

    local following = ask('XRANGE', key, '(' .. delivered, '+', 'COUNT', 1)

    if not following then
        return -1
    end

    return following[1] and age(following[1][1]) or 0
end

local result = {ask('XLEN', key) or -1}

for i, fields in ipairs(ask('XINFO', 'GROUPS', key) or {}) do
    local group = {}

    if i > MAX_GROUPS then
        break
    end

    for j = 1, #fields, 2 do
        group[fields[j]] = fields[j + 1]
    end

    table.insert(result, group.name)
    table.insert(result, group.lag or -1)
    table.insert(result, oldest(group.name, group['last-delivered-id']))
end

return result
