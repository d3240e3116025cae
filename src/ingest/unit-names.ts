/** Units that sensors send behind a number, so that the rest of an identifier is not read as one. */

const NAMES = `
° °C °F ℃ ℉ ºC ºF K Cel degC degF degree degrees deg C F celsius fahrenheit kelvin
% %RH %rH RH %vol ‰ ppm ppb ppt mg/L mg/l g/L g/l pH ORP
Pa hPa kPa MPa mbar bar psi inHg mmHg inH2O mmH2O atm
V mV µV kV Vac Vdc A mA µA kA Ah mAh W mW kW MW GW VA kVA MVA var VAr kvar kVAr Wh kWh MWh GWh VAh kVAh varh kvarh
J kJ MJ GJ cal kcal BTU BTU/h Wh/m² W/m² W/m2 kWh/m² kWh/m2 MJ/m² mW/cm² mW/cm2
Hz kHz MHz GHz rpm RPM 1/min r/min
s sec secs second seconds ms µs us ns m min mins minute minutes h hr hrs hour hours d day days wk week weeks mo month months y yr year years
m cm mm µm um nm km in inch inches ft yd mi mile miles
m/s km/h kmh kph mph kn kt knots ft/s mm/h mm/s mm/d mm/day in/h l/m² L/m²
l L ml mL cl dl hl m3 m³ cm3 cm³ dm³ dm3 ft³ ft3 gal CCF
l/s L/s l/min L/min lpm l/h L/h lph m3/h m³/h m³/s m3/s m³/min ft³/min CFM cfm gpm gal/min
g mg kg t lb lbs oz µg ug µg/m³ μg/m³ ug/m3 µg/m3 mg/m³ mg/m3 g/m³ g/m3 kg/m³ kg/m3
lx lux lm cd klx UV UVI index
dB dBm dBA dB(A) dBi
Ω ohm ohms kΩ MΩ S mS µS mS/cm µS/cm uS/cm dS/m F µF nF pF H mH T mT µT
N kN Nm m² m2 cm² ha m/s² m/s2 g/s rad rad/s
Bq Bq/m³ Bq/m3 µSv/h uSv/h nSv/h µSv CPM cpm
B kB KB MB GB TB KiB MiB GiB bit kbit Mbit bit/s bps kbps Mbps kbit/s Mbit/s B/s kB/s MB/s
count counts pulses imp bpm AQI IAQ VOC steps
€ EUR € /kWh €/kWh EUR/kWh EUR/MWh ct/kWh $ USD $/kWh
`;

const EXACT = new Set(NAMES.split(/\s+/).filter((name) => name !== ''));
/** Short names differ by case alone (`mW`, `MW`), so only longer ones may be written in any case. */
const ANY_CASE = new Set([...EXACT].filter((name) => name.length > 2).map((name) => name.toLowerCase()));

/** Whether a text is a unit of measurement. Both code points of the micro sign count, and blanks within (`kW h`). */
export function isUnit(text: string): boolean {
  if (EXACT.has(text)) return true;
  const plain = text
    .replaceAll('μ', 'µ')
    .replaceAll('º', '°')
    .replace(/[\s.]+/g, '');
  return EXACT.has(plain) || ANY_CASE.has(plain.toLowerCase());
}
