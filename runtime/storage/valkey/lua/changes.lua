-- KEYS: library, published, removed. ARGV: 3 after which change, 4 how many, 5 prefix of
-- records. Returns head, what is forgotten, and change, document and record of each.
local lib = redis.call('HMGET', KEYS[1], 'tenant', 'head', 'forgotten')
if lib[1] and lib[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s documents')
end
local reply, most = {ARGV[1], lib[2] or '0', lib[3] or '0'}, tonumber(ARGV[4])
local function after(key)
  return redis.call('ZRANGE', key, '(' .. ARGV[3], '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
end
local there, gone = after(KEYS[2]), {}
-- From the beginning on no removals are told.
if ARGV[3] ~= '0' then gone = after(KEYS[3]) end
local i, j = 1, 1
while (i < #there or j < #gone) and #reply < 3 + 3 * most do
  if j > #gone or i < #there and tonumber(there[i + 1]) < tonumber(gone[j + 1]) then
    local doc = there[i]
    local have = redis.call('HMGET', ARGV[5] .. #doc .. ':' .. doc, 'tenant', 'version', 'change', 'created', 'updated', 'passages', 'bytes', 'about')
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = there[i + 1], doc, have
    i = i + 2
  else
    reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = gone[j + 1], gone[j], ''
    j = j + 2
  end
end
return reply
