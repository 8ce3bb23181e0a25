-- KEYS: a log a window. Removes the take of the given time. A take that came late was
-- put down at the time of the one before it, so the first that isn't earlier stands
-- for it.
second, nano = tonumber(ARGV[3]), tonumber(ARGV[4])
for _, key in ipairs(KEYS) do
  local log, err = open(key)
  if err then return err end
  if not log.whole then
    log.bytes, log.whole = redis.call('GET', key), true
  end
  for i = log.n - 1, 0, -1 do
    if ago(log, i) <= 0 and (i == 0 or ago(log, i - 1) > 0) then
      local from = HEADER + 8 * (log.first + i)
      log.bytes = string.sub(log.bytes, 1, from) .. string.sub(log.bytes, from + 9)
      save(log, log.listed, redis.call('PTTL', key))
      break
    end
  end
end
return {ARGV[1]}
