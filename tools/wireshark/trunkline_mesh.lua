-- What two nodes say to each other, for trunkline.lua: handshake messages with HELLO and refusals, and the
-- control stream's segments with their messages, as docs/protocol.md draws them.
--
-- The idea: every structure is a list of rows {field, kind}, read by one cursor that never passes its end. What
-- does not fit is marked as malformed where it stands, and nothing behind it is guessed.

local aead = ...

local fields = {}
local function field(name, make, title, ...)
  local abbreviation = "trunkline." .. name
  fields[name] = make(abbreviation, title, ...)
end

-- ---- the names of numbers

local message_names = { "ANNOUNCE", "WITHDRAW", "SNAPSHOT END", "ACQUIRE", "ANSWER", "RELEASE", "ENDED" }
local outcome_names = {
  [0] = "OK", "NOT_HERE", "MOVED", "GONE", "STALE_EPOCH", "FUTURE_EPOCH", "LOOP", "BUSY", "DRAINING", "UNSUPPORTED",
  "CONFIG_MISMATCH", "UNAUTHORIZED", "DEADLINE", "INTERNAL",
  [32] = "NO_REPLY", [33] = "LINK_DOWN", [34] = "CANCELLED", [35] = "LOCAL_LIMIT", [36] = "STALLED" }
local class_names = { [0] = "rest", "video base", "audio", "control" }
local refusal_names = { "version", "feature", "cluster", "setting", "incarnation", "unknown peer", "schema",
                        "certificate" }
local hello_names = { "versions", "features", "cluster", "node", "name", "incarnation", "region", "colour", "cores",
                      "setting", "fingerprint" }

-- ---- fields: handshake

field("handshake.nonce", ProtoField.bytes, "Nonce")
field("handshake.ephemeral", ProtoField.bytes, "Ephemeral public key")
field("handshake.static", ProtoField.bytes, "Static public key, encrypted")
field("handshake.sealed", ProtoField.bytes, "Encrypted payload")
field("handshake.mac1", ProtoField.bytes, "mac1")
field("handshake.mac2", ProtoField.bytes, "mac2")
field("handshake.cookie", ProtoField.bytes, "Cookie, encrypted")
field("handshake.length", ProtoField.uint16, "Payload length")
field("handshake.fill", ProtoField.bytes, "Fill")
field("handshake.crc", ProtoField.uint32, "CRC-32C", base.HEX)
field("handshake.suite", ProtoField.string, "Suite of the handshake")
field("hello.tag", ProtoField.uint8, "Field", base.DEC, hello_names)
field("hello.length", ProtoField.uint16, "Length")
field("hello.version_min", ProtoField.uint8, "Lowest wire version")
field("hello.version_max", ProtoField.uint8, "Highest wire version")
field("hello.supported", ProtoField.uint64, "Features supported", base.HEX)
field("hello.required", ProtoField.uint64, "Features required", base.HEX)
field("hello.cluster", ProtoField.string, "Cluster")
field("hello.node", ProtoField.uint64, "Node")
field("hello.name", ProtoField.string, "Name")
field("hello.incarnation", ProtoField.uint64, "Incarnation")
field("hello.region", ProtoField.string, "Region")
field("hello.colour", ProtoField.string, "Colour")
field("hello.port", ProtoField.uint16, "UDP port of a core")
field("hello.session", ProtoField.uint32, "Session index of that core", base.HEX)
field("hello.setting", ProtoField.string, "Setting")
field("hello.current", ProtoField.string, "Current value")
field("hello.accepted", ProtoField.string, "Accepted value")
field("hello.schema_version", ProtoField.uint8, "Wire version")
field("hello.fingerprint", ProtoField.uint64, "Schema fingerprint", base.HEX)
field("hello.unknown", ProtoField.bytes, "Field of a later build")
field("refusal.code", ProtoField.uint8, "Refused because of", base.DEC, refusal_names)
field("refusal.setting", ProtoField.string, "Setting")
field("refusal.mine", ProtoField.string, "The refuser's value")
field("refusal.theirs", ProtoField.string, "The other's value")

-- ---- fields: control stream

field("segment.seq", ProtoField.uint32, "Segment")
field("segment.ack", ProtoField.uint32, "First not received")
field("segment.received", ProtoField.uint64, "Received behind it", base.HEX)
field("segment.flags", ProtoField.uint8, "Flags", base.HEX)
field("segment.has_messages", ProtoField.bool, "Carries messages", 8, nil, 0x01)
field("segment.crc", ProtoField.uint32, "CRC-32C", base.HEX)
field("segment.crc_ok", ProtoField.bool, "CRC-32C is right")
field("message.type", ProtoField.uint8, "Message", base.DEC, message_names)
field("message.length", ProtoField.uint16, "Length")
field("message.track", ProtoField.bytes, "Track")
field("message.generation", ProtoField.uint64, "Generation")
field("message.flags", ProtoField.uint8, "Flags", base.HEX)
field("message.announce.flowing", ProtoField.bool, "Flowing", 8, nil, 0x01)
field("message.answer.authoritative", ProtoField.bool, "Authoritative", 8, nil, 0x01)
field("message.answer.flowing", ProtoField.bool, "Flowing", 8, nil, 0x02)
field("message.answer.pending", ProtoField.bool, "Pending", 8, nil, 0x04)
field("message.class", ProtoField.uint8, "Class", base.DEC, class_names)
field("message.request", ProtoField.uint64, "Request id")
field("message.media_label", ProtoField.uint32, "Media label", base.HEX)
field("message.owner_core", ProtoField.uint8, "Owner core")
field("message.budget_us", ProtoField.uint32, "Budget (us)")
field("message.hop_limit", ProtoField.uint8, "Hop limit")
field("message.believed_generation", ProtoField.uint64, "Believed generation")
field("message.path_count", ProtoField.uint8, "Nodes in the path")
field("message.path", ProtoField.uint64, "Node of the path")
field("message.outcome", ProtoField.uint8, "Outcome", base.DEC, outcome_names)
field("message.reason", ProtoField.uint8, "Reason", base.DEC, outcome_names)
field("message.moved_to", ProtoField.uint64, "Moved to node")
field("message.feedback_label", ProtoField.uint32, "Feedback label", base.HEX)
field("message.feedback_core", ProtoField.uint8, "Feedback core")
field("message.retry_after_us", ProtoField.uint32, "Retry after (us)")
field("message.next_by_us", ProtoField.uint32, "Next by (us)")
field("message.text", ProtoField.string, "Text")
field("message.descriptor", ProtoField.bytes, "Descriptor")
field("message.unknown", ProtoField.bytes, "Body of an unknown type")

-- ---- the cursor

local Cursor = {}
Cursor.__index = Cursor

-- Over all of `range`; `malformed` is the expert item to add where something does not fit.
local function cursor(range, malformed)
  return setmetatable({ range = range, at = 0, size = range and range:len() or 0, malformed = malformed }, Cursor)
end
function Cursor:left() return self.size - self.at end
function Cursor:fail(tree, what)
  tree:add_proto_expert_info(self.malformed, "malformed: " .. what)
  self.at, self.failed = self.size, true
end
-- The next n bytes; nil, and marked, when there are fewer. No bytes are no range: nil, not marked.
function Cursor:take(tree, n, what)
  if n > self:left() then return self:fail(tree, what .. " is cut off") end
  if n == 0 then return nil end
  local range = self.range(self.at, n)
  self.at = self.at + n
  return range
end
-- A field of n bytes.
function Cursor:add(tree, name, n)
  local range = self:take(tree, n, name)
  if range then tree:add(fields[name], range) end
  return range
end
-- Its length in `width` bytes, then the field itself.
function Cursor:add_counted(tree, name, width)
  local length = self:take(tree, width, name)
  if not length then return nil end
  if length:uint() == 0 then
    tree:add(fields[name], length, ""):append_text("(empty)")
    return ""
  end
  local range = self:add(tree, name, length:uint())
  return range and range:string() or nil
end

-- ---- HELLO and refusals

local hello_rows = {
  { { "hello.version_min", 1 }, { "hello.version_max", 1 } },
  { { "hello.supported", 8 }, { "hello.required", 8 } },
  { { "hello.cluster" } }, { { "hello.node", 8 } }, { { "hello.name" } }, { { "hello.incarnation", 8 } },
  { { "hello.region" } }, { { "hello.colour" } }, {}, {},
  { { "hello.schema_version", 1 }, { "hello.fingerprint", 8 } },
}

local function dissect_hello_field(tag, body, tree)
  if tag == 9 then
    while body:left() > 0 do
      body:add(tree, "hello.port", 2)
      body:add(tree, "hello.session", 4)
    end
  elseif tag == 10 then
    body:add_counted(tree, "hello.setting", 1)
    body:add_counted(tree, "hello.current", 1)
    local count = body:take(tree, 1, "count")
    for _ = 1, count and count:uint() or 0 do body:add_counted(tree, "hello.accepted", 1) end
  elseif hello_rows[tag] then
    for _, row in ipairs(hello_rows[tag]) do
      local n = row[2] or body:left()  -- a text takes the rest
      if n > 0 then body:add(tree, row[1], n) end
    end
  elseif body:left() > 0 then
    body:add(tree, "hello.unknown", body:left())
  end
  if body:left() > 0 then body:fail(tree, "bytes behind the field") end
end

-- What a handshake message carries. Returns what it is, in words.
local function dissect_payload(range, tree, malformed)
  local all = cursor(range, malformed)
  local kind = all:take(tree, 1, "payload"):uint()
  if kind == 1 then
    local hello = tree:add(range, "HELLO")
    while all:left() > 0 do
      local tag = all:take(hello, 1, "tag")
      local length = all:take(hello, 2, "length")
      if not length then break end
      local name = hello_names[tag:uint()] or "unknown"
      local item = hello:add(all.range(all.at - 3, math.min(3 + length:uint(), all:left() + 3)), "Field: " .. name)
      item:add(fields["hello.tag"], tag)
      item:add(fields["hello.length"], length)
      local body = all:take(item, length:uint(), name)
      if not all.failed then dissect_hello_field(tag:uint(), cursor(body, malformed), item) end
    end
    return "HELLO"
  elseif kind == 2 then
    local refusal = tree:add(range, "Refusal")
    local code = all:add(refusal, "refusal.code", 1)
    for _, name in ipairs { "setting", "mine", "theirs" } do all:add_counted(refusal, "refusal." .. name, 1) end
    if all:left() > 0 then all:fail(refusal, "bytes behind the refusal") end
    return "refused: " .. (code and refusal_names[code:uint()] or "?")
  end
  all:fail(tree, "a payload of kind " .. kind)
  return "unknown payload"
end

-- ---- handshake messages

-- Whether this is a message of the null suite's handshake: its CRC-32C is over its number and all before it.
local function is_null_message(number, range)
  local n = range:len()
  if n < 38 then return false end
  return aead.crc32c(string.char(number) .. range(0, n - 4):raw()) == range(n - 4):raw()
end

local sealed_rows = {  -- {field, bytes}; without a number: what the rest leaves
  [1] = { { "handshake.ephemeral", 32 }, { "handshake.static", 48 }, { "handshake.sealed" }, { "handshake.mac1", 16 },
          { "handshake.mac2", 16 } },
  [2] = { { "handshake.ephemeral", 32 }, { "handshake.sealed" }, { "handshake.mac1", 16 }, { "handshake.mac2", 16 } },
  [3] = { { "handshake.sealed" }, { "handshake.mac1", 16 } },
  [7] = { { "handshake.nonce", 24 }, { "handshake.cookie", 32 } },
}

-- `number` is the datagram's type, `range` all behind its header. Returns what it says, in words.
local function dissect_handshake(number, range, tree, malformed)
  local all = cursor(range, malformed)
  if is_null_message(number, range) then
    tree:add(fields["handshake.suite"], range, "null"):set_generated()
    all:add(tree, "handshake.nonce", 32)
    local length = all:add(tree, "handshake.length", 2)
    local said = ""
    if length:uint() > all:left() - 4 then
      all:fail(tree, "the payload is longer than the message")
    elseif length:uint() > 0 then
      said = ": " .. dissect_payload(all:take(tree, length:uint(), "payload"), tree, malformed)
    end
    if all:left() > 4 then all:add(tree, "handshake.fill", all:left() - 4) end
    if all:left() == 4 then all:add(tree, "handshake.crc", 4) end
    return "null" .. said
  end
  tree:add(fields["handshake.suite"], range, "sealed"):set_generated()
  local rows, fixed = sealed_rows[number], 0
  for _, row in ipairs(rows) do fixed = fixed + (row[2] or 0) end
  for _, row in ipairs(rows) do
    local n = row[2] or math.max(0, all.size - fixed)
    if n > 0 then all:add(tree, row[1], n) end
  end
  if all:left() > 0 then all:fail(tree, "bytes behind the message") end
  return "sealed"
end

-- ---- the control stream

local u = function(name, n) return { name = "message." .. name, bytes = n } end
local message_rows = {
  { u("track", 16), u("generation", 8), { flags = { "announce.flowing" } }, u("class", 1) },
  { u("track", 16), u("generation", 8) },
  {},
  { u("request", 8), u("track", 16), u("media_label", 4), u("owner_core", 1), u("budget_us", 4), u("hop_limit", 1),
    u("believed_generation", 8), { path = true } },
  { u("request", 8), u("outcome", 1), { flags = { "answer.authoritative", "answer.flowing", "answer.pending" } },
    u("generation", 8), u("moved_to", 8), u("feedback_label", 4), u("feedback_core", 1), u("retry_after_us", 4),
    u("next_by_us", 4), { path = true }, { counted = "message.text" }, { counted = "message.descriptor" } },
  { u("request", 8), u("media_label", 4), u("track", 16) },
  { u("request", 8), u("track", 16), u("media_label", 4), u("reason", 1), u("generation", 8) },
}

local function dissect_row(row, body, tree)
  if row.flags then
    local flags = body:add(tree, "message.flags", 1)
    for _, flag in ipairs(flags and row.flags or {}) do tree:add(fields["message." .. flag], flags) end
  elseif row.path then
    local count = body:add(tree, "message.path_count", 1)
    for _ = 1, count and count:uint() or 0 do
      if body.failed then return end
      body:add(tree, "message.path", 8)
    end
  elseif row.counted then
    local length = body:take(tree, 2, row.counted)
    if length and length:uint() > 0 then body:add(tree, row.counted, length:uint()) end
  else
    body:add(tree, row.name, row.bytes)
  end
end

local function dissect_messages(all, tree)
  local said = {}
  while all:left() > 0 do
    local start = all.at
    local kind = all:take(tree, 1, "type")
    local length = all:take(tree, 2, "length")
    if not length then break end
    local name = message_names[kind:uint()] or ("message of type " .. kind:uint())
    local item = tree:add(all.range(start, math.min(3 + length:uint(), all.size - start)), name)
    item:add(fields["message.type"], kind)
    item:add(fields["message.length"], length)
    local range = all:take(item, length:uint(), name)
    local body, rows = cursor(range, all.malformed), message_rows[kind:uint()]
    if not rows then
      if range then body:add(item, "message.unknown", body:left()) end
    elseif not all.failed then
      for _, row in ipairs(rows) do
        if not body.failed then dissect_row(row, body, item) end
      end
      if body:left() > 0 then body:fail(item, "bytes behind the message") end
    end
    said[#said + 1] = name
  end
  return table.concat(said, ", ")
end

-- The payload of a control record. Returns what it says, in words.
local function dissect_segment(range, tree, malformed)
  local all = cursor(range, malformed)
  if all.size < 21 then
    all:fail(tree, "a segment has 21 bytes or more")
    return "cut off"
  end
  local crc_ok = aead.crc32c(range(0, all.size - 4):raw()) == range(all.size - 4):raw()
  all:add(tree, "segment.seq", 4)
  local ack = all:add(tree, "segment.ack", 4):uint()
  all:add(tree, "segment.received", 8)
  local flags = all:add(tree, "segment.flags", 1)
  tree:add(fields["segment.has_messages"], flags)
  local body = all:left() > 4 and cursor(all:take(tree, all:left() - 4, "messages"), malformed)
  all:add(tree, "segment.crc", 4)
  tree:add(fields["segment.crc_ok"], range(all.size - 4), crc_ok):set_generated()
  if not crc_ok then
    tree:add_proto_expert_info(malformed, "the CRC-32C does not fit: the receiver applies nothing of it")
  end
  return body and dissect_messages(body, tree) or ("ack " .. ack)
end

return {
  fields = fields,
  class_names = class_names,
  dissect_handshake = dissect_handshake,
  dissect_segment = dissect_segment,
}
