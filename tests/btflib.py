# SPDX-License-Identifier: GPL-2.0-or-later
"""Type information (BTF) of a kernel or of a BPF object, read just far enough to compare members."""
import struct

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, PROTO, VAR, DATASEC, FLOAT, DECL_TAG, \
    TYPE_TAG, ENUM64 = range(1, 20)
# Bytes behind the twelve of every type: fixed, or for each of its entries.
FIXED = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
EACH = {STRUCT: 12, UNION: 12, ENUM: 8, PROTO: 8, DATASEC: 12, ENUM64: 12}


def section(elf, name):
    """A section of an ELF file of this machine's kind."""
    start, = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    heads = [struct.unpack_from("<IIQQQQ", elf, start + i * size) for i in range(count)]
    for head in heads:
        at = heads[names][4] + head[0]
        if elf[at:elf.index(b"\0", at)].decode() == name:
            return bytearray(elf[head[4]:head[4] + head[5]])
    raise LookupError(name)


class Btf:
    def __init__(self, data):
        self.data = data
        magic, _, _, head, type_at, type_len, string_at, self.string_len = struct.unpack_from("<HBBIIIII", data)
        assert magic == 0xeb9f
        self.strings = head + string_at
        self.at = [None]
        self.named = {}
        at, end = head + type_at, head + type_at + type_len
        while at < end:
            name, info = struct.unpack_from("<II", data, at)
            kind, vlen = info >> 24 & 31, info & 0xffff
            if name and kind in (STRUCT, UNION, ENUM, ENUM64):
                self.named.setdefault(name, []).append(len(self.at))
            self.at.append(at)
            at += 12 + FIXED.get(kind, 0) + EACH.get(kind, 0) * vlen

    def string(self, offset):
        at = self.strings + offset
        return self.data[at:self.data.index(b"\0", at)].decode()

    def head(self, number):
        """(name, kind, entries, size or type it refers to, whether bit fields are marked)"""
        if not number:
            return "void", 0, 0, 0, 0
        name, info, last = struct.unpack_from("<III", self.data, self.at[number])
        return self.string(name), info >> 24 & 31, info & 0xffff, last, info >> 31

    def names(self):
        """{(kind is an enum, name): numbers of the types called so}"""
        found = {}
        for offset, numbers in self.named.items():
            for n in numbers:
                found.setdefault((self.head(n)[1] in (ENUM, ENUM64), self.string(offset)), []).append(n)
        return found

    def bare(self, number):
        """The type without its qualifiers, and the first name it has."""
        first = None
        while True:
            name, kind, _, last, _ = self.head(number)
            if kind == TYPEDEF and first is None:
                first = name
            if kind not in (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG):
                return number, first
            number = last

    def bits(self, number):
        number, _ = self.bare(number)
        _, kind, _, last, _ = self.head(number)
        if kind == PTR:
            return 64
        if kind == ARRAY:
            element, _, count = struct.unpack_from("<III", self.data, self.at[number] + 12)
            return count * self.bits(element)
        return last * 8

    def raw_members(self, number):
        """(name, type, bits of a bit field or 0, place of the entry in the data)"""
        _, _, count, _, marked = self.head(number)
        for i in range(count):
            at = self.at[number] + 12 + i * 12
            name, kind, offset = struct.unpack_from("<III", self.data, at)
            yield self.string(name), kind, offset >> 24 if marked else 0, at

    def members(self, number):
        """{name: (type, bits, is a bit field, place)}, those of nameless structs and unions among them."""
        found = {}
        for name, kind, field, at in self.raw_members(number):
            inner, _ = self.bare(kind)
            if name:
                # Older compilers mark a bit field by the size of its type alone.
                integer = self.head(inner)[1] == INT
                bits = struct.unpack_from("<I", self.data, self.at[inner] + 12)[0] & 0xff if integer else self.bits(kind)
                found[name] = (kind, field or bits, bool(field) or (integer and bits % 8 != 0 and bits != 1), at)
            elif self.head(inner)[1] in (STRUCT, UNION):
                found |= self.members(inner)
        return found

    def enumerators(self, number):
        _, kind, count, _, _ = self.head(number)
        step = EACH[kind]
        return {self.string(struct.unpack_from("<I", self.data, self.at[number] + 12 + i * step)[0])
                for i in range(count)}

    def is_record(self, number):
        return self.head(self.bare(number)[0])[1] in (STRUCT, UNION)

    def record_name(self, number):
        """What a member's struct or union is called: its own name, or that of the typedef it hides behind."""
        inner, first = self.bare(number)
        return self.head(inner)[0] or first
