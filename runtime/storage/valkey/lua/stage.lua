-- ARGV: 6 version, 7 dimensions, 8 the lowest number or '' if passages may be replaced,
-- then number, passage and, with dimensions, vector of each. Returns 0 and the dimensions;
-- 1 for an old version, 2 for other dimensions, 3 for passages that are there already, in
-- which cases nothing is kept.
local version, as, step = tonumber(ARGV[6]), ARGV[6], ARGV[7] == '0' and 2 or 3
local passages, vectors = PREFIX .. 'passages:' .. PART .. as, PREFIX .. 'vectors:' .. PART .. as
if version > 0 then
  local lib, err = library()
  if err then return err end
  local have = record()
  if have and have.version == version then return {ARGV[1], 0, ARGV[7]} end
  if old(lib, have, version) then return {ARGV[1], 1, ''} end
end
local head = call('HMGET', passages, 'tenant', 'dimensions', 'next')
if head[1] and head[1] ~= ARGV[2] then
  return redis.error_reply('FOREIGN the key holds another tenant\'s passages')
end
if head[1] and head[2] ~= ARGV[7] then return {ARGV[1], 2, head[2]} end
local last = tonumber(head[3] or 0)
if ARGV[8] ~= '' and tonumber(ARGV[8]) < last then return {ARGV[1], 3, ''} end
local texts, floats = {}, {}
local function flush()
  if #texts == 0 then return end
  call('HSET', passages, unpack(texts))
  if #floats > 0 then call('HSET', vectors, unpack(floats)) end
  texts, floats = {}, {}
end
for i = 9, #ARGV, step do
  last = math.max(last, tonumber(ARGV[i]) + 1)
  texts[#texts + 1], texts[#texts + 2] = ARGV[i], ARGV[i + 1]
  if step == 3 then
    floats[#floats + 1], floats[#floats + 2] = ARGV[i], ARGV[i + 2]
  end
  if #texts >= 1000 then flush() end
end
flush()
call('HSET', passages, 'tenant', ARGV[2], 'dimensions', ARGV[7], 'next', last)
local now = millis()
call('ZADD', VERSIONS, version, as)
call('ZADD', KEYS[6], now, PART .. as)
call('ZREMRANGEBYSCORE', KEYS[6], '-inf', '(' .. spell(now - 2 * DAY))
-- What is left goes by itself; publishing makes it stay.
for _, key in ipairs({passages, vectors, VERSIONS}) do
  call('PEXPIRE', key, spell(1.5 * DAY))
end
call('PEXPIRE', KEYS[6], spell(2 * DAY))
return {ARGV[1], 0, ARGV[7]}
