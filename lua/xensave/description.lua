-- What an image says of its domain, whoever wrote it: xl's configuration in JSON, libvirt's XML or
-- xenopsd's Xenops record. For filters that change names, disks and network cards.
--
--   local description = require "xensave.description"
--   return description.filter("rename", function(domain) domain.name = "web2" end)
local xs = require "xensave"

local M = {}

-- Where each kind has the domain's name and UUID, its disks and its network cards.
local kinds = {}

-- A table whose fields are read and written by functions: fields[name] = { get, set }.
local function proxy(fields)
  return setmetatable({}, {
    __index = function(_, key)
      local field = fields[key]
      return field and field[1]() or nil
    end,
    __newindex = function(_, key, value)
      local field = fields[key]
      if not field then error(("no '%s' to set"):format(key), 2) end
      field[2](value)
    end,
  })
end

-- Of a description that has disks and network cards.
local yes = { function() return true end }

-- A field of a part of the configuration, by its key or path.
local function at(part, key)
  return { function() return part[key] end, function(value) part[key] = value end }
end

local function each(list)
  if not list then return function() end end
  return list:each()
end

-- xl: JSON as libxl has it.
function kinds.xl(header)
  local config = header.config
  if not config then error("the image has no configuration in JSON", 0) end
  local function parts(name, keys)
    local out = {}
    for _, part in each(config[name]) do
      local fields = {}
      for field, key in pairs(keys) do fields[field] = at(part, key) end
      out[#out + 1] = proxy(fields)
    end
    return out
  end
  local hvm = config.b_info and config.b_info["type.hvm"]
  return {
    name = at(config.c_info, "name"), uuid = at(config.c_info, "uuid"), has_devices = yes,
    generation_id = {
      function() return hvm and hvm.ms_vm_genid end, function(value) hvm.ms_vm_genid = value end,
    },
    disks = { function() return parts("disks", { vdev = "vdev", path = "pdev_path" }) end },
    cards = { function() return parts("nics", { bridge = "bridge", mac = "mac" }) end },
  }
end

-- The attribute that says where a disk of libvirt's is.
local sources = { "file", "dev", "dir", "volume", "name" }

-- libvirt: its XML.
function kinds.libvirt(header)
  local xml = header.xml
  if not xml then error("the image's libvirt header has no XML", 0) end
  local devices = xml.devices
  local function parts(name, fields_of)
    local out = {}
    if type(devices) ~= "userdata" then return out end
    for _, part in devices:all(name) do out[#out + 1] = proxy(fields_of(part)) end
    return out
  end
  local function disk(part)
    local source = "source@file"
    for _, name in ipairs(sources) do
      if part["source@" .. name] then source = "source@" .. name end
    end
    return { vdev = at(part, "target@dev"), path = at(part, source) }
  end
  local function card(part)
    local source = part["source@network"] and "source@network" or "source@bridge"
    return { bridge = at(part, source), mac = at(part, "mac@address") }
  end
  return {
    name = at(xml, "name"), uuid = at(xml, "uuid"), has_devices = yes,
    disks = { function() return parts("disk", disk) end },
    cards = { function() return parts("interface", card) end },
  }
end

-- xenopsd: the VM in its Xenops record. Disks and network cards are XAPI's, and not in the image.
function kinds.xenopsd(rec)
  local vm = rec.xenops.vm_str
  if type(vm) ~= "userdata" then
    error("the image's Xenops record has no VM (vm_str): its name is XAPI's alone", 0)
  end
  local function outside()
    error("a suspend image of xenopsd does not hold disks and network cards: they are XAPI's", 0)
  end
  return {
    name = at(vm, "name"), uuid = at(vm, "id"), disks = { outside }, cards = { outside },
  }
end

-- The name of an image's domain, or nil where the image does not say.
function M.name(image)
  local config, xml, xenops = image.config, image.xml, image.xenops
  return config and config.c_info and config.c_info.name or xml and xml.name
    or xenops and xenops["vm_str.name"]
end

-- A filter that calls edit(domain) once, with what the image says of its domain: name and uuid, which
-- can be set, and lists: disks (vdev, path) and cards (bridge, mac), whose parts can be set, too, where
-- has_devices says that it has them. generation_id is what xl has as ms_vm_genid, or nil. An
-- image that says nothing of its domain is refused.
function M.filter(name, edit)
  local is_done = false
  local function hook(kind)
    return function(part)
      if is_done then return end
      is_done = true
      edit(proxy(kinds[kind](part)))
    end
  end
  return {
    name = name,
    xl_header = hook "xl", libvirt_header = hook "libvirt", Xenops = hook "xenopsd",
    finish = function()
      if is_done then return end
      error("the image says nothing of its domain: it has no xl header, libvirt header or Xenops "
        .. "record", 0)
    end,
  }
end

return M
