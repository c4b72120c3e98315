"""Arrival delays: the features of `flight_delay`, asked at the same moment, for minutes instead of a class.

The data are the same and are described there. Rates of the class are left out: here is none.
"""

from mlplatform.features import FeatureSet, TargetRate
from mlplatform.use_cases.flight_delay.data import RawAirports as RawAirports
from mlplatform.use_cases.flight_delay.data import RawFlights as RawFlights
from mlplatform.use_cases.flight_delay.data import RawPlanes as RawPlanes
from mlplatform.use_cases.flight_delay.data import RawWeather as RawWeather
from mlplatform.use_cases.flight_delay.data import clean_airports as clean_airports
from mlplatform.use_cases.flight_delay.data import clean_flights as clean_flights
from mlplatform.use_cases.flight_delay.data import clean_planes as clean_planes
from mlplatform.use_cases.flight_delay.data import clean_weather as clean_weather
from mlplatform.use_cases.flight_delay.features import FEATURES as OF_CLASS

FEATURES = FeatureSet(
    "arrival_delay",
    OF_CLASS.spine,
    [feature for feature in OF_CLASS.features if not isinstance(feature, TargetRate)],
)
