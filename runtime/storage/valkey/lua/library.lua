-- A tenant's documents. KEYS: 1 library, a hash of what counts over all; 2 documents, a
-- sorted set of their ids; 3 published and 4 removed ones by their changes; 5 removals by
-- their times; 6 what is staged, by its key's end and when it was added to. ARGV: 3 prefix
-- of other keys, 4 the document, 5 that as a part of a key.
-- Numbers are below 2^53: versions and changes begin at the time in microseconds.
local call = redis.call
local PREFIX, DOC, PART = ARGV[3], ARGV[4], ARGV[5]
local RECORD, REMOVAL, VERSIONS = PREFIX .. 'document:' .. PART, PREFIX .. 'removal:' .. PART, PREFIX .. 'versions:' .. PART
local DAY = 864e5

local function spell(n) return string.format('%.0f', n) end

local function millis()
  local clock = call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- library is version, head, floor, forgotten, documents, passages; nil before the first
-- version.
local function library()
  local have = call('HMGET', KEYS[1], 'tenant', 'version', 'head', 'floor', 'forgotten', 'documents', 'passages')
  if not have[1] then return nil end
  if have[1] ~= ARGV[2] then
    return nil, redis.error_reply('FOREIGN the key holds another tenant\'s documents')
  end
  return {version = tonumber(have[2]), head = tonumber(have[3]), floor = tonumber(have[4]), forgotten = tonumber(have[5]),
    documents = tonumber(have[6]), passages = tonumber(have[7])}
end

local function keep(lib)
  call('HSET', KEYS[1], 'tenant', ARGV[2], 'version', spell(lib.version), 'head', spell(lib.head), 'floor', spell(lib.floor),
    'forgotten', spell(lib.forgotten), 'documents', spell(lib.documents), 'passages', spell(lib.passages))
end

local function nextVersion(lib)
  if not lib then
    local clock = call('TIME')
    local now = clock[1] * 1000000 + clock[2]
    lib = {version = now, head = 0, floor = now, forgotten = now + 1, documents = 0, passages = 0}
  end
  lib.version = lib.version + 1
  return lib
end

-- record is version, staged as, created, passages, source, updated of what is published.
local function record()
  local have = call('HMGET', RECORD, 'version', 'as', 'created', 'passages', 'source', 'updated')
  if not have[1] then return nil end
  return {version = tonumber(have[1]), as = have[2], created = have[3], passages = tonumber(have[4]), source = have[5], updated = have[6]}
end

local function old(lib, have, version)
  local floor = call('GET', REMOVAL)
  return not lib or version <= lib.floor or version > lib.version or floor and version <= tonumber(floor) or have and version < have.version
end

local function drop(as)
  call('UNLINK', PREFIX .. 'passages:' .. PART .. as, PREFIX .. 'vectors:' .. PART .. as)
  call('ZREM', KEYS[6], PART .. as)
  call('ZREM', VERSIONS, as)
end

-- dropStaged lets go of what is staged below a version. They are as many as were begun.
local function dropStaged(below)
  for _, as in ipairs(call('ZRANGE', VERSIONS, '-inf', '(' .. below, 'BYSCORE', 'LIMIT', 0, 1000)) do
    drop(as)
  end
end
