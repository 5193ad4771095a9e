"""Names for ids that people can say: `amber-river-lantern-moss`, four words of an id's digits."""

import operator
import uuid as uuids
from collections.abc import Sequence
from functools import reduce
from typing import Final

#: As many as a byte has values.
_WORDS: Final = """
acorn amber anchor apple apricot archway arrow atlas attic aurora bamboo banjo barley basil
basket bayonet beacon beech bellflower berry birch bison blanket bottle boulder branch brass
breeze brick bridge brook bucket button cabin cactus candle canoe canyon caramel castle cedar
cello cherry chestnut cinder circle citrus clay cliff clock cloud clover cobalt comb compass
copper coral cotton coverlet crane crater cricket crystal curtain dahlia daisy dandelion dawn
delta desert dolphin door dovetail dragon drumbeat duskywing eagle echidna elbow elephant ember
engine evening falcon feather fennel fernbrake ferry fiddle field finch fjord flame flint flute
foghorn forest fossil fountain foxglove frost galaxy garden garnet gateway ginger glacier glass
globe goose granite grape gravel grove gull hammer harbor harebell harpist harvest hazel heath
hedge hemlock heron hillside hinge honey horizon hornet iceberg indigo inlet ironwork irrigation
island ivory jadestone jasmine jasper juniper kayak kettle keyboard kilogram kingfisher ladder
lagoon lakeside lantern larch laurel lavender leaflet lemon lilypad limestone linen lionheart
lobster lotus lynx magnet mango maple marble meadow melon mesa mint mirror mistral mocha moon
moss moth mountain nectar needle nest nickel night nutmeg oakwood oasis oats ocean octopus olive
onion opal orchard orchid otter oyster paddle palm panda paper parrot pearl pebble pepper piano
pigeon pine planet plum pocket pond poppy prairie pumpkin quarry quartz quill rabbit rainbow
raven reed reef ribbon river robin rocket rose saddle saffron sage salmon sand satin sequoia
shadow shell silver skylark snow sparrow spruce star stone storm summit swan thistle thunder
tiger timber tulip tundra valley velvet violet walnut willow
"""
DEFAULT_WORDLIST: Final = tuple(_WORDS.split())


class HumanHasher:
    """Make names of hexadecimal ids.

    Args:
        wordlist: 256 words, one for each value of a byte.

    Raises:
        ValueError: there are not 256.
    """

    def __init__(self, wordlist: Sequence[str] = DEFAULT_WORDLIST) -> None:
        if len(wordlist) != 256:
            raise ValueError(f"wordlist must have 256 words; got {len(wordlist)}")
        self.wordlist = wordlist

    def humanize(self, hexdigest: str, words: int = 4, separator: str = "-") -> str:
        """Give the name of an id; the same one each time.

        Args:
            hexdigest: the id, an even number of hexadecimal digits, two a word at least.
            words: of the name.
            separator: between them.

        Raises:
            ValueError: it is no such id, or too short for so many words.
        """
        parts = self.compress(bytes.fromhex(hexdigest), words)
        return separator.join(self.wordlist[part] for part in parts)

    @staticmethod
    def compress(bytes: Sequence[int], target: int) -> list[int]:
        """Give that many bytes for many: each stands for a stretch of them.

        Raises:
            ValueError: there are fewer than that.
        """
        if target > len(bytes):
            raise ValueError(f"{target} words need as many bytes; got {len(bytes)}")
        size = len(bytes) // target
        ends = [*(size * at for at in range(1, target)), len(bytes)]
        starts = range(0, size * target, size)
        return [
            reduce(operator.xor, bytes[start:end], 0)
            for start, end in zip(starts, ends, strict=True)
        ]

    def uuid(self, words: int = 4, separator: str = "-") -> tuple[str, str]:
        """Make an id: its name, and its 32 hexadecimal digits."""
        digest = uuids.uuid4().hex
        return self.humanize(digest, words, separator), digest


DEFAULT_HASHER: Final = HumanHasher()
uuid = DEFAULT_HASHER.uuid
humanize = DEFAULT_HASHER.humanize
