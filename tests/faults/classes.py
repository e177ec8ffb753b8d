"""All classes of faults: importing this module registers them.

Not among them are faults that nobody can see in the files of a series, whatever they look at:
an element that is wrong alike in all slices and contradicts no other (spacing swapped or scaled,
a position mirrored or shifted, an intercept of zero instead of -1024, the names of rows and
columns of native pixels); every other slice missing where thickness and distance do not tell,
or the first or last one where nothing counts the slices; pixels of two slices exchanged; sound
pixel data of another scan; a byte changed inside of sound stored values; signed pixels named
unsigned; colours whose encoding is named wrongly but decodes. Numbers of images in the whole
acquisition (0020,1002) count what others sent elsewhere and prove nothing; spacing between slices
is known to be written wrongly.
"""

from tests.faults import frames, geometry, harmless, lengths, mixtures, times, values
from tests.faults.registry import FAULTS, Fault, clean

__all__ = ["FAULTS", "Fault", "clean", "frames", "geometry", "harmless", "lengths", "mixtures", "times", "values"]
