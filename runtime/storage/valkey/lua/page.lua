-- KEYS: a sorted set whose members begin with a number after SKIP bytes. ARGV: 2 SKIP,
-- 3 the lowest score, 4 the highest, 5 and 6 score and number of the last one given
-- ('' = none), 7 how many. Returns members and scores, highest first.
local reply, limit, skip = {ARGV[1]}, tonumber(ARGV[7]), tonumber(ARGV[2])
local last, passed, highest = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[4]
if last and (highest == '+inf' or last < tonumber(string.match(highest, '%-?%d+'))) then
  highest = ARGV[5]
end
local from, step = 0, math.min(limit, 1000)
while #reply < 1 + 2 * limit do
  local rows = redis.call('ZRANGE', KEYS[1], highest, ARGV[3], 'BYSCORE', 'REV', 'LIMIT', from, step, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local given = last and tonumber(rows[i + 1]) == last and struct.unpack('>i8', rows[i], skip + 1) >= passed
    if not given and #reply < 1 + 2 * limit then
      reply[#reply + 1], reply[#reply + 2] = rows[i], rows[i + 1]
    end
  end
  if #rows < 2 * step then break end
  from = from + step
end
return reply
