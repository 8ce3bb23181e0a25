-- KEYS: session. ARGV: 2 how many, 3 only messages before this millisecond ('' = all).
-- Returns the head and the messages, newest first.
local head = redis.call('LINDEX', KEYS[1], -1)
if not head then return {ARGV[1]} end
local reply, limit, before = {ARGV[1], head}, tonumber(ARGV[2]), tonumber(ARGV[3])
-- The last message that is wanted, counted from 0. Their times rise.
local last = redis.call('LLEN', KEYS[1]) - 2
if before then
  local low, high = 0, last + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if struct.unpack('>i8', redis.call('LINDEX', KEYS[1], middle)) < before then
      low = middle + 1
    else
      high = middle
    end
  end
  last = low - 1
end
local first = math.max(0, last + 1 - limit)
while last >= first do
  local rows = redis.call('LRANGE', KEYS[1], math.max(first, last - 999), last)
  for i = #rows, 1, -1 do
    reply[#reply + 1] = rows[i]
  end
  last = last - #rows
end
return reply
