-- Takes places in an account's pace, or gives some back.  The clock is the time
-- at which the account would have made all its calls if it had made them one by
-- one, an interval each (the generic cell rate algorithm, GCRA).  A place is
-- free if the clock is ahead of the current time by no more than the tolerance.
--
-- KEYS: the clock.
-- ARGV: interval and tolerance; by how much the gateway's own clock is ahead of
-- the gateway's time; how many places are wanted; the longest wait for the last
-- of them; and, if places are given back, what the clock was after they were
-- taken, and their number (else 0, 0).  All times are in microseconds.
--
-- Returns how many places are free now; 1 if the next place was taken too, else
-- 0; the wait for that next place (0 if it is not wanted); and the clock.

-- Before Redis 7 a script that has called TIME may not write without this.
redis.replicate_commands()

-- No place is taken that is further away.  So no clock is further ahead, unless
-- the time of Redis has been set back.
local MAX_WAIT = 120000000

local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local limit = math.min(tonumber(ARGV[5]), MAX_WAIT)
local returned, count = ARGV[6], tonumber(ARGV[7])

local time = redis.call('TIME')
local at = time[1] * 1000000 + time[2]

local text = redis.call('GET', KEYS[1])
local clock = 0

if text and #text <= 16 and text:find('^%d+$') then
    clock = tonumber(text)
end

-- Places are given back only if nobody has taken another place since.

if count > 0 and text == returned then
    clock = clock - count * interval
end

clock = math.max(clock, at + ahead)
clock = math.min(clock, at + tolerance + interval + MAX_WAIT)

local free = math.floor((at + tolerance - clock) / interval) + 1
local taken, wait = 0, 0

free = math.max(0, math.min(free, wanted))
clock = clock + free * interval

if free < wanted then
    wait = clock - tolerance - at

    if wait <= limit then
        clock = clock + interval
        taken = 1
    end
end

redis.call('SET', KEYS[1], string.format('%.0f', clock), 'PX',
           string.format('%.0f', math.max(1, math.ceil((clock - at) / 1000))))

return {free, taken, wait, clock}
