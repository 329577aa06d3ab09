package sftp3

// Sizes of packets. The draft has every server take packets of 34000 bytes,
// which "should allow for reads and writes of at most 32768 bytes".
const (
	defaultPacket = 34000
	defaultData   = 32768

	// maxPacket is the longest packet that we accept or send: OpenSSH's
	// SFTP_MAX_MSG_LENGTH. More in one packet gains nothing and keeps other
	// requests waiting.
	maxPacket = 256 << 10
	maxData   = maxPacket - 1024

	// minData is the least that a server may ask us to send at a time. Below
	// it a server would only make us send packets.
	minData = 1024
)

// Limits are what a server takes, in bytes: of limits@openssh.com where it is
// advertised, else the draft's.
type Limits struct {
	MaxPacket  int // a whole packet
	MaxRead    int // data asked for in one READ
	MaxWrite   int // data in one WRITE
	MaxHandles int // open handles in one session; 0 when not known
}

func defaultLimits() Limits {
	return Limits{MaxPacket: defaultPacket, MaxRead: defaultData, MaxWrite: defaultData}
}

// advertisedLimits is the answer to limits@openssh.com as the server gave it.
// Zero means that it sets no limit.
type advertisedLimits struct {
	packet, read, write, handles uint64
}

// clamp makes usable limits of whatever a server says.
func (a advertisedLimits) clamp() Limits {
	l := defaultLimits()
	if a.packet > defaultPacket {
		l.MaxPacket = int(min(a.packet, maxPacket))
	}
	l.MaxRead = clampData(a.read, maxData)
	l.MaxWrite = clampData(a.write, max(defaultData, l.MaxPacket-1024))
	if a.handles < 1<<31 {
		l.MaxHandles = int(a.handles)
	}
	return l
}

func clampData(advertised uint64, most int) int {
	if advertised == 0 {
		return defaultData
	}
	return int(max(minData, min(advertised, uint64(most))))
}
