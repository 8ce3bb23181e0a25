-- Calls commands one after the other and returns their results. ARGV: how many words a
-- command has, then those.
local reply, i = {ARGV[1]}, 2
while i <= #ARGV do
  local n = tonumber(ARGV[i])
  reply[#reply + 1] = redis.call(unpack(ARGV, i + 1, i + n))
  i = i + n + 1
end
return reply
