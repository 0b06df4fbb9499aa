-- Wireshark's view of Trunkline: datagrams between two nodes, as docs/protocol.md draws them (wire version 1).
--
--   wireshark -X lua_script:tools/wireshark/trunkline.lua -o trunkline.ports:7000-7003 -o trunkline.key_log:FILE
--
-- Headers and handshakes always; records where they can be read. The null suite's lie in the clear. Those of the
-- sealed suites are opened with a key log, written by a node that was told to, one line for each session index:
--
--   TRUNKLINE_SESSION <the receiver's session index, 8 hex digits> <suite number> <secret of the direction, 64>
--
-- trunkline_mesh.lua and trunkline_aead.lua must lie beside this file. Written for Wireshark 4.0 (Debian 12).

local here = debug.getinfo(1, "S").source:match("^@?(.*[/\\])") or "./"
local aead = dofile(here .. "trunkline_aead.lua")
local mesh = assert(loadfile(here .. "trunkline_mesh.lua"))(aead)

local proto = Proto("trunkline", "Trunkline")

local kHeader, kRecordHeader, kTag = 12, 8, 16
local type_names = { [0] = "data", "handshake msg1", "handshake msg2", "handshake confirm", [7] = "cookie reply" }
local kind_names = { [0] = "padding", "media", "feedback", "control", "heartbeat", "path probe" }
local kMedia, kFeedback, kControl, kHeartbeat, kProbe = 1, 2, 3, 4, 5

-- ---- fields, preferences

local f = {
  version = ProtoField.uint8("trunkline.version", "Version", base.DEC, nil, 0xe0),
  type = ProtoField.uint8("trunkline.type", "Type", base.DEC, type_names, 0x1c),
  phase = ProtoField.uint8("trunkline.phase", "Phase", base.DEC, nil, 0x03),
  lane = ProtoField.uint8("trunkline.lane", "Lane (sender's core)"),
  counter = ProtoField.uint64("trunkline.counter", "Counter"),
  session = ProtoField.uint32("trunkline.session", "Receiver's session index", base.HEX),
  session_core = ProtoField.uint32("trunkline.session.core", "Core", base.DEC, nil, 0xf0000000),
  session_slot = ProtoField.uint32("trunkline.session.slot", "Slot", base.DEC, nil, 0x0fff0000),
  session_random = ProtoField.uint32("trunkline.session.random", "Random", base.HEX, nil, 0x0000ffff),
  suite = ProtoField.string("trunkline.suite", "Records are"),
  sealed = ProtoField.bytes("trunkline.sealed", "Encrypted records"),
  tag = ProtoField.bytes("trunkline.tag", "Tag"),
  padding = ProtoField.bytes("trunkline.padding", "Padding"),
  label = ProtoField.uint32("trunkline.label", "Label", base.HEX),
  label_index = ProtoField.uint32("trunkline.label.index", "Index", base.DEC, nil, 0xfffffc00),
  label_generation = ProtoField.uint32("trunkline.label.generation", "Generation", base.DEC, nil, 0x000003ff),
  kind = ProtoField.uint8("trunkline.kind", "Kind", base.DEC, kind_names, 0xf0),
  class = ProtoField.uint8("trunkline.class", "Class", base.DEC, mesh.class_names, 0x0c),
  keyframe = ProtoField.bool("trunkline.keyframe", "Part of a keyframe", 8, nil, 0x02),
  frame_end = ProtoField.bool("trunkline.frame_end", "Last packet of a frame", 8, nil, 0x01),
  ttl = ProtoField.uint8("trunkline.ttl", "Hops left", base.DEC, nil, 0xf0),
  layer = ProtoField.uint8("trunkline.layer", "Layer", base.DEC, nil, 0x0f),
  length = ProtoField.uint16("trunkline.length", "Length"),
  payload = ProtoField.bytes("trunkline.payload", "Payload"),
  sent_us = ProtoField.uint64("trunkline.heartbeat.sent_us", "Sent (us)"),
  echo_us = ProtoField.uint64("trunkline.heartbeat.echo_us", "Echo (us)"),
  echo_hold_us = ProtoField.uint32("trunkline.heartbeat.echo_hold_us", "Echo held (us)"),
  heard_age_us = ProtoField.uint32("trunkline.heartbeat.heard_age_us", "Heard ago (us)"),
  received = ProtoField.uint64("trunkline.heartbeat.received", "Datagrams received"),
  answer = ProtoField.bool("trunkline.probe.answer", "Answer"),
}
proto.fields = {}
do
  local all = {}
  for _, field in pairs(f) do all[#all + 1] = field end
  for _, field in pairs(mesh.fields) do all[#all + 1] = field end
  proto.fields = all
end

local malformed = ProtoExpert.new("trunkline.malformed", "Malformed", expert.group.MALFORMED, expert.severity.ERROR)
local forged = ProtoExpert.new("trunkline.not_authentic", "The tag does not verify with any key of the key log",
                               expert.group.SECURITY, expert.severity.WARN)
proto.experts = { malformed, forged }

proto.prefs.ports = Pref.range("UDP ports", "", "Ports of nodes, such as 7000-7003. Others are recognised by what " ..
                               "they carry, where no other protocol claims the port.", 65535)
proto.prefs.key_log = Pref.string("Key log", "", "File of TRUNKLINE_SESSION lines that a node has written.")

-- ---- the key log

-- Session index -> list of {suite, secret, lanes}, newest first: indexes repeat, after a while and between nodes.
local sessions = {}
local log = { path = "", file = nil, rest = "" }

local function add_line(line)
  local index, suite, secret = line:match("^%s*TRUNKLINE_SESSION%s+(%x+)%s+(%d+)%s+(%x+)%s*$")
  suite = tonumber(suite)
  if not index or #index ~= 8 or #secret ~= 64 or not aead.suites[suite] then return end
  index = tonumber(index, 16)
  sessions[index] = sessions[index] or {}
  local bytes = secret:gsub("%x%x", function(digits) return string.char(tonumber(digits, 16)) end)
  table.insert(sessions[index], 1, { suite = suite, secret = bytes, lanes = {} })
end

-- Reads what was appended since the last time: a live capture meets sessions that have only just begun.
local function read_key_log()
  if proto.prefs.key_log ~= log.path then
    if log.file then log.file:close() end
    sessions, log = {}, { path = proto.prefs.key_log, file = nil, rest = "" }
  end
  if log.path == "" then return end
  log.file = log.file or io.open(log.path, "r")
  if not log.file then return end
  log.file:seek("cur", 0)
  local text = log.rest .. (log.file:read("*a") or "")
  log.rest = text:match("[^\n]*$")
  for line in text:gmatch("([^\n]*)\n") do add_line(line) end
end

local function keys_of(index)
  if not sessions[index] or proto.prefs.key_log ~= log.path then read_key_log() end
  return sessions[index] or {}
end

-- The records in the clear, and the suite that sealed them; nil when no key opens them.
local function opened(tvb, lane, index)
  local header, behind = tvb(0, kHeader):raw(), tvb(kHeader):raw()
  local core = math.floor(index / 268435456)
  for _, session in ipairs(keys_of(index)) do
    local number = lane * 16 + core
    session.lanes[number] = session.lanes[number] or aead.lane_key(session.secret, session.suite, lane, core)
    local plain = aead.open(session.lanes[number], header, behind)
    if plain then return plain, aead.suites[session.suite].name end
  end
end

-- ---- records

-- Whether these bytes are records, end to end: what a sealed datagram looks like once in 65 000. Kinds of a later
-- build are skipped by their length, unless only `known` ones will do.
local function are_records(range, known)
  local at, size = 0, range:len()
  while size - at >= kRecordHeader do
    local kind, label = math.floor(range(at + 4, 1):uint() / 16), range(at, 4):uint()
    if kind == 0 then break end
    if kind > kProbe then
      if known then return false end
    elseif (kind >= kControl) ~= (label == 0) then
      return false
    end
    at = at + kRecordHeader + range(at + 6, 2):uint()
    if at > size then return false end
  end
  return at > 0 and (at == size or not range(at):raw():find("[^%z]"))
end

-- RTP or RTCP, by the second byte (RFC 5761, section 4).
local rtp, rtcp = Dissector.get("rtp"), Dissector.get("rtcp")
local function dissect_media(range, pinfo, tree)
  local second = range:len() >= 2 and range(1, 1):uint() or 0
  local is_rtcp = second >= 192 and second <= 223
  pinfo.cols.info:append(is_rtcp and " (RTCP) " or " (RTP) ")
  pinfo.cols.info:fence();
  (is_rtcp and rtcp or rtp):call(range:tvb(), pinfo, tree)
  pinfo.cols.info:fence()
end

local function dissect_heartbeat(range, tree)
  if range:len() ~= 32 then
    tree:add_proto_expert_info(malformed, "malformed: a heartbeat has 32 bytes")
    return
  end
  tree:add(f.sent_us, range(0, 8))
  tree:add(f.echo_us, range(8, 8))
  tree:add(f.echo_hold_us, range(16, 4))
  local age = tree:add(f.heard_age_us, range(20, 4))
  if range(20, 4):uint() == 0xffffffff then age:append_text(" (never)") end
  tree:add(f.received, range(24, 8))
end

local function dissect_record(range, pinfo, tree, root)
  local header = range(4, 1)
  local kind, label = math.floor(header:uint() / 16), range(0, 4)
  local name = kind_names[kind] or ("kind " .. kind)
  local length = range(6, 2):uint()
  local item = tree:add(range, string.format("Record: %s, %d bytes", name, length))
  local label_item = item:add(f.label, label)
  label_item:add(f.label_index, label)
  label_item:add(f.label_generation, label)
  item:add(f.kind, header)
  item:add(f.class, header)
  item:add(f.keyframe, header)
  item:add(f.frame_end, header)
  item:add(f.ttl, range(5, 1))
  item:add(f.layer, range(5, 1))
  item:add(f.length, range(6, 2))
  pinfo.cols.info:append(" | " .. name)
  if length == 0 then return end
  local payload = range(kRecordHeader, length)
  item:add(f.payload, payload)
  if kind == kMedia or kind == kFeedback then
    dissect_media(payload, pinfo, root)
  elseif kind == kControl then
    pinfo.cols.info:append(" " .. mesh.dissect_segment(payload, item, malformed))
  elseif kind == kHeartbeat then
    dissect_heartbeat(payload, item)
  elseif kind == kProbe then
    local answer = range(5, 1):uint() % 16 == 1
    item:add(f.answer, range(5, 1), answer):set_generated()
    pinfo.cols.info:append(answer and " answer" or " question")
  end
end

local function dissect_records(range, pinfo, tree, root)
  local at, size = 0, range:len()
  while size - at >= kRecordHeader and range(at + 4, 1):uint() >= 16 do
    local length = range(at + 6, 2):uint()
    if length > size - at - kRecordHeader then
      tree:add_proto_expert_info(malformed, "malformed: a record is longer than what is left of the datagram")
      return
    end
    dissect_record(range(at, kRecordHeader + length), pinfo, tree, root)
    at = at + kRecordHeader + length
  end
  if at == size then return end
  tree:add(f.padding, range(at))
  if range(at):raw():find("[^%z]") then
    tree:add_proto_expert_info(malformed, "malformed: padding is not zero")
  end
end

local function dissect_data(tvb, pinfo, tree, root)
  local lane, index = tvb(1, 1):uint(), tvb(8, 4):uint()
  local behind = tvb(kHeader)
  if behind:len() < kTag then
    tree:add_proto_expert_info(malformed, "malformed: shorter than header and tag")
    return
  end
  local size = behind:len() - kTag
  local plain, suite = opened(tvb, lane, index)
  if plain then
    tree:add(f.suite, behind, suite):set_generated()
    if size > 0 then
      dissect_records(ByteArray.new(plain, true):tvb("Opened records")(), pinfo, tree, root)
    end
  elseif size > 0 and are_records(behind(0, size)) then
    tree:add(f.suite, behind, "null"):set_generated()
    dissect_records(behind(0, size), pinfo, tree, root)
  elseif size > 0 then
    tree:add(f.suite, behind, "sealed"):set_generated()
    tree:add(f.sealed, behind(0, size))
    pinfo.cols.info:append(" | sealed")
    if #keys_of(index) > 0 then tree:add_proto_expert_info(forged) end
  end
  tree:add(f.tag, behind(size, kTag))
end

-- ---- datagrams

local function dissect_header(tvb, tree)
  local first, index = tvb(0, 1), tvb(8, 4)
  tree:add(f.version, first)
  tree:add(f.type, first)
  tree:add(f.phase, first)
  tree:add(f.lane, tvb(1, 1))
  tree:add(f.counter, tvb(2, 6), tvb(2, 6):uint64())
  local session = tree:add(f.session, index)
  session:add(f.session_core, index)
  session:add(f.session_slot, index)
  session:add(f.session_random, index)
end

function proto.dissector(tvb, pinfo, root)
  if tvb:len() < kHeader or tvb(0, 1):bitfield(0, 3) ~= 1 then return 0 end
  local kind = tvb(0, 1):bitfield(3, 3)
  local tree = root:add(proto, tvb(), "Trunkline, " .. (type_names[kind] or ("type " .. kind)))
  pinfo.cols.info = string.format("%s, lane %d -> %d, counter %s", type_names[kind] or ("type " .. kind),
    tvb(1, 1):uint(), tvb(8, 1):bitfield(0, 4), tostring(tvb(2, 6):uint64()))
  dissect_header(tvb, tree)
  if kind == 0 and tvb:len() > kHeader then
    dissect_data(tvb, pinfo, tree, root)
  elseif type_names[kind] and tvb:len() > kHeader then
    local said = mesh.dissect_handshake(kind, tvb(kHeader), tree, malformed)
    pinfo.cols.info = type_names[kind] .. ", " .. said
  else
    tree:add_proto_expert_info(malformed, "malformed: nothing behind the header, or a type without a meaning")
  end
  pinfo.cols.protocol = "Trunkline"
  return tvb:len()
end

-- ---- which datagrams are ours

-- Of a port that nobody claims: what the header and the lengths leave no doubt about.
local function looks_like_ours(tvb, pinfo, root)
  if tvb:len() < kHeader + kRecordHeader + kTag then return false end
  if tvb(0, 1):bitfield(0, 3) ~= 1 or tvb(0, 1):bitfield(6, 2) ~= 0 then return false end
  local kind, size = tvb(0, 1):bitfield(3, 3), tvb:len() - kHeader
  local lane, index = tvb(1, 1):uint(), tvb(8, 4):uint()
  local ours
  if kind == 0 then
    ours = lane < 16 and (#keys_of(index) > 0 or are_records(tvb(kHeader, size - kTag), true))
  else
    -- The header's lane is 0, and msg1 goes to no session; its length, and a cookie reply's, is fixed. msg2 and
    -- confirm go to a session of core 0.
    local to_core_0 = index > 0 and index < 0x10000000 and tvb(2, 6):uint64():tonumber() == 0
    ours = lane == 0 and ((kind == 1 and size == 1184 and index == 0) or (kind == 7 and size == 56) or
                          ((kind == 2 or kind == 3) and to_core_0))
  end
  if ours then proto.dissector(tvb, pinfo, root) end
  return ours
end
proto:register_heuristic("udp", looks_like_ours)

local udp_ports = DissectorTable.get("udp.port")
udp_ports:add_for_decode_as(proto)
local claimed = ""
function proto.prefs_changed()
  local wanted = proto.prefs.ports
  if wanted == claimed then return end
  if claimed ~= "" then udp_ports:remove(claimed, proto) end
  if wanted ~= "" then udp_ports:add(wanted, proto) end
  claimed = wanted
end
function proto.init()
  sessions, log.path = {}, ""
end
