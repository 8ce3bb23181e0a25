-- Removes the take of a time, ARGV[3] in 8 bytes. A take that came late was put down at
-- the time of the one before it, so the first that isn't earlier stands for it.
local err = load()
if err then return err end
second, nano = unpack('>I4I4', ARGV[3])
for f = 4, #ARGV do
  local log
  log, err = open(ARGV[f])
  if err then return err end
  if not log.whole then
    log.bytes, log.whole = call('GET', log.key), true
  end
  for i = log.n - 1, 0, -1 do
    if ago(log, i) <= 0 and (i == 0 or ago(log, i - 1) > 0) then
      local place = HEADER + 8 * (log.first + i)
      log.bytes = string.sub(log.bytes, 1, place) .. string.sub(log.bytes, place + 9)
      log.n = log.n - 1
      save(log, log.long and call('PTTL', log.key) or 0)
      break
    end
  end
end
flush(0)
return {ARGV[1]}
