-- Tells the state of a record, and changes nothing.
--
-- KEYS: the record.
-- ARGV: an owner whose record counts as absent, because it only remains to be
-- removed (or '').
--
-- Returns the state ('none', 'in_flight', 'ambiguous', 'done' or 'foreign');
-- when the record began, in Unix milliseconds (0 for 'none' and 'foreign'); and
-- for 'done' the answer.

local former_owner = ARGV[1]

local record, foreign = read(KEYS[1])

if foreign then
    return only_read({'foreign', 0})
end

if not record
    or (record.state == 'in_flight' and record.owner == former_owner)
then
    return only_read({'none', 0})
end

local begun = tonumber(record.begun)

if record.state == 'done' then
    return only_read({'done', begun, record.answer})
end

-- A lease that has run out means the same as 'ambiguous'.

if record.state == 'in_flight' and tonumber(record.lease) > clock() then
    return only_read({'in_flight', begun})
end

return only_read({'ambiguous', begun})
