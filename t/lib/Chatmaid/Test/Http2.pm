package Chatmaid::Test::Http2;

# An HTTP/2 client that does just what it is told (RFC 9113), frame by frame.
#
#   my $h2 = connect_h2($nginx->port('h2'));
#   my ($id, $head) = opened($h2, POST => '/path', 0);
#   put($h2, $head, data($id, $bytes));            # or body($h2, $id, $bytes, …)
#   is(answer($h2, $id)->{status}, 200, '…');      # status, body, json
#   drop($h2, 'close');                            # or reset, goaway

use Mojo::Base -strict, -signatures;
use Exporter 'import';
use IO::Select;
use IO::Socket::IP;
use List::Util qw(max min);
use Mojo::JSON qw(decode_json);
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);

our @EXPORT = qw(connect_h2 put opened data body reset_ answer drop frame DATA PADDED);

use constant {DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4, PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8};
use constant {END_STREAM => 1, END_HEADERS => 4, PADDED => 8, ACK => 1};

sub frame ($type, $flags, $id, $payload = '') {
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id) . $payload;
}

# RFC 7541: literals without indexing and Huffman codes; lengths below 127.
sub fields (@fields) { join '', map { my $f = $_; "\0" . join '', map { pack('C/a*', $_) } @$f } @fields }

sub connect_h2 ($port) {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port) or die "connect: $@";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    my $h2 = {socket => $socket, next => 1, streams => {}, buffer => '', window => 65535, initial => 65535};
    put($h2, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame(SETTINGS, 0, 0));
    return $h2;
}

# A server that has refused a body early may have closed: read why.
sub put ($h2, @frames) {
    my $bytes = join '', @frames;
    while (length $bytes) {
        my $n = syswrite $h2->{socket}, $bytes or return;
        substr $bytes, 0, $n, '';
    }
}

# The frames of a request, and its stream.
sub opened ($h2, $method, $path, $end = 1, @more) {
    my $id = $h2->{next};
    $h2->{next} += 2;
    $h2->{streams}{$id} = {body => '', window => 0};
    return ($id, frame(HEADERS, END_HEADERS | ($end ? END_STREAM : 0), $id, fields([':method', $method], [':scheme', 'http'],
        [':path', $path], [':authority', 'localhost'], $end ? () : ['content-type', 'application/json'], @more)));
}

sub reset_ ($id)     { frame(RST_STREAM, 0, $id, pack 'N', 8) }
sub data ($id, $bytes, $end = 1) { frame(DATA, $end ? END_STREAM : 0, $id, $bytes) }

# A whole body in frames of that size, as far as the server's windows allow.
# False where the stream has ended before.

sub body ($h2, $id, $bytes, $size = 16384) {
    my $stream = $h2->{streams}{$id};
    until ($stream->{ended}) {
        my $room  = min($size, $h2->{window}, $stream->{window} + $h2->{initial});
        my $piece = substr $bytes, 0, max($room, 0), '';
        if (length $piece || !length $bytes) {
            $_ -= length $piece for $h2->{window}, $stream->{window};
            put($h2, data($id, $piece, !length $bytes));
            return 1 unless length $bytes;
        } else {
            read_more($h2) or return 0;
        }
    }
    return 0;
}

sub read_more ($h2) {
    my $select = $h2->{select} //= IO::Select->new($h2->{socket});
    return take($h2) || $select->can_read(120) && sysread $h2->{socket}, $h2->{buffer}, 65536, length $h2->{buffer};
}

# Reads frames until the stream has ended; its status and body.
sub answer ($h2, $id) {
    my $stream = $h2->{streams}{$id};
    until ($stream->{ended}) {
        read_more($h2) or return {status => 0, body => '', json => undef};
    }
    return {%$stream, json => scalar eval { decode_json($stream->{body}) }};
}

sub take ($h2) {
    return 0 if length $h2->{buffer} < 9;
    my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $h2->{buffer};
    my $length = $high * 65536 + $low;
    return 0 if length $h2->{buffer} < 9 + $length;

    my $payload = substr substr($h2->{buffer}, 0, 9 + $length, ''), 9;
    my $stream  = $h2->{streams}{$id} // {};
    put($h2, frame(SETTINGS, ACK, 0)) if $type == SETTINGS && !($flags & ACK);
    put($h2, frame(PING, ACK, 0, $payload)) if $type == PING && !($flags & ACK);
    initial_window($h2, $payload)        if $type == SETTINGS;
    ($id ? $stream : $h2)->{window} += unpack 'N', $payload if $type == WINDOW_UPDATE;
    $stream->{body} .= $payload          if $type == DATA;
    $stream->{status} = status($payload) if $type == HEADERS;
    $stream->{ended} = 1 if $type == RST_STREAM || ($type == DATA || $type == HEADERS) && $flags & END_STREAM;
    return 1;
}

sub initial_window ($h2, $settings) {
    my %value = unpack '(nN)*', $settings;
    $h2->{initial} = $value{4} // $h2->{initial};
}

# It comes first: indexed, or a literal of three digits.
sub status ($block) {
    $block =~ s/\A[\x20-\x3f]+//;
    my %indexed = ("\x88" => 200, "\x8c" => 400, "\x8d" => 404, "\x8e" => 500);
    return $indexed{substr $block, 0, 1} // substr $block, 2, 3;
}

sub drop ($h2, $how) {
    setsockopt $h2->{socket}, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $how eq 'reset';
    put($h2, frame(GOAWAY, 0, 0, pack 'NN', 0, 0)) if $how eq 'goaway';
    close $h2->{socket};
}

1;
