-- Writes as a claim does, so that its success means that claims succeed.
--
-- KEYS: a key for this alone.
--
-- Returns 1.

redis.call('HSET', KEYS[1], 'version', VERSION, 'begun', milliseconds(now))
redis.call('PEXPIRE', KEYS[1], 1000)

return 1
