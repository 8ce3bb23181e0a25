-- KEYS: session. ARGV: 2 how many, 3 only messages before this millisecond ('' = all).
-- Returns the head and the messages, newest first.
local head = redis.call('LINDEX', KEYS[1], -1)
if not head then return {ARGV[1]} end
local reply, limit, before = {ARGV[1], head}, tonumber(ARGV[2]), tonumber(ARGV[3])
local to, step = -2, math.min(limit, 1000)
while #reply - 2 < limit do
  local rows = redis.call('LRANGE', KEYS[1], to - step + 1, to)
  for i = #rows, 1, -1 do
    if #reply - 2 < limit and (not before or struct.unpack('>i8', rows[i]) < before) then
      reply[#reply + 1] = rows[i]
    end
  end
  if #rows < step then break end
  to = to - step
end
return reply
