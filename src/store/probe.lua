-- Writes a key as a claim does: if this succeeds, claims will succeed too.
--
-- KEYS: a key that is used only for this.
--
-- Returns 1.

redis.call('SET', KEYS[1], clock(), 'PX', 1000)

-- A gateway of an older version, whose records are hashes, would report an
-- error if it found a string.
redis.call('DEL', KEYS[1])

return 1
