"""Names for ids that people can say: `oak-river-lantern-fog`, four words of an id's digits."""

import operator
import uuid as uuids
from collections.abc import Sequence
from functools import reduce
from typing import Final

#: As many as a byte has values.
_WORDS: Final = """
acorn amber anchor apple apricot arch arrow atlas attic aurora bamboo banjo barley basil basket
bay beacon beech bell berry birch bison blanket bottle boulder branch brass breeze brick bridge
brook bucket button cabin cactus candle canoe canyon caramel castle cedar cello cherry chestnut
cinder circle citrus clay cliff clock cloud clover cobalt comb compass copper coral cotton cove
crane crater cricket crystal curtain dahlia daisy dawn delta desert dolphin door dove dragon
drum dune dusk eagle echo elbow elm ember engine evening falcon feather fennel fern ferry fiddle
field finch fjord flame flint flute fog forest fossil fountain fox frost galaxy garden garnet
gate ginger glacier glass globe goose granite grape gravel grove gull hammer harbor hare harp
harvest hazel heath hedge hemlock heron hill hinge honey horizon hornet ice indigo inlet iris
iron island ivory jade jasmine jasper juniper kayak kettle key kite kiwi ladder lagoon lake
lantern larch laurel lava leaf lemon lily lime linen lion lobster lotus lynx magnet mango maple
marble meadow melon mesa mint mirror mist mocha moon moss moth mountain nectar needle nest
nickel night nutmeg oak oasis oats ocean olive onion opal orchard orchid otter owl oyster paddle
palm panda paper parrot pearl pebble pepper piano pigeon pine planet plum pocket pond poppy
prairie pumpkin quarry quartz quill rabbit rain raven reed reef ribbon river robin rocket rose
saddle saffron sage salmon sand satin sequoia shadow shell silver sky snow sparrow spruce star
stone storm summit swan thistle thunder tiger timber tulip tundra valley velvet violet walnut
willow
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
